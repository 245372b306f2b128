-- Coaching's records of the new periods, by whether their cell of one table is published.
WITH records AS (
    SELECT
        department,
        team_ref,
        course_code,
        date_trunc({{ unit | literal }}, period)::DATE AS period,
        {{ category_of_course }} AS category
    FROM {{ rows }}
    WHERE date_trunc({{ unit | literal }}, period)::DATE IN ({{ new | literals }})
)

SELECT
    count(cells.period) AS published,
    count(records.period) - count(cells.period) AS suppressed
FROM records
LEFT JOIN {{ table }} AS cells ON {{ same_cell }}
