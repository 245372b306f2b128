-- The records that analysts may see now, by what became of each: published, or the first reason why
-- not. A record can have been published in two periods: open, and later complete.
WITH published AS (
    SELECT
        history.record_key,
        bool_or(live.class IS NOT NULL) AS live,
        bool_or(history.class IS NOT NULL) AS placed
    FROM {{ history }} AS history
    LEFT JOIN {{ live }} AS live ON history.period = live.period AND history.class = live.class
    GROUP BY history.record_key
)

SELECT
    count(*) FILTER (WHERE live) AS published,
    count(*) FILTER (WHERE NOT live AND placed) AS left_with_class,
    count(*) FILTER (WHERE NOT placed) AS identifying,
    count(*) FILTER (WHERE placed IS NULL AND first_day IS NULL) AS no_date,
    count(*) FILTER (WHERE placed IS NULL AND known) AS late,
    count(*) FILTER (WHERE placed IS NULL AND NOT known AND NOT closed) AS still_open,
    count(*) FILTER (WHERE placed IS NULL AND NOT known AND closed) AS waiting
FROM (
    SELECT
        published.live,
        published.placed,
        records.first_day,
        coalesce(records.first_day IN ({{ periods | literals }}), FALSE) AS known,
        records.first_day < {{ closed_before | literal }} AS closed
    FROM (
        SELECT
            record_key,
            date_trunc({{ unit | literal }}, coalesce(event_on, assigned_on))::DATE AS first_day
        FROM {{ rows }}
    ) AS records
    LEFT JOIN published ON records.record_key = published.record_key
)
