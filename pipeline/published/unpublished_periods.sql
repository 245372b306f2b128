-- Coaching's rows of periods that are not published now, by the first reason that applies.
SELECT
    count(*) FILTER (WHERE period IS NULL) AS no_date,
    count(*) FILTER (WHERE published) AS late,
    count(*) FILTER (WHERE NOT published AND NOT new AND expired) AS expired,
    count(*) FILTER (WHERE NOT published AND NOT new AND NOT expired AND NOT closed) AS still_open,
    count(*) FILTER (WHERE NOT published AND NOT new AND NOT expired AND closed) AS waiting
FROM (
    SELECT
        period,
        coalesce(period IN ({{ published | literals }}), FALSE) AS published,
        coalesce(period IN ({{ new | literals }}), FALSE) AS new,
        period <= {{ last_expired | literal }} AS expired,
        period < {{ closed_before | literal }} AS closed
    FROM (SELECT date_trunc({{ unit | literal }}, period)::DATE AS period FROM {{ rows }})
)
