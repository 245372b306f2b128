-- Coaching's rows of periods that are not published now, by reason.
SELECT
    count(*) FILTER (WHERE period IS NULL) AS no_date,
    count(*) FILTER (WHERE coalesce(period IN ({{ published | literals }}), FALSE)) AS late,
    count(*) FILTER (
        WHERE
        period IS NOT NULL
        AND NOT coalesce(period IN ({{ published | literals }}), FALSE)
        AND NOT coalesce(period IN ({{ new | literals }}), FALSE)
    ) AS still_open
FROM (SELECT date_trunc({{ unit | literal }}, period)::DATE AS period FROM {{ rows }})
