-- Per department and period.
WITH departments AS (
    SELECT DISTINCT
        period,
        department_number,
        department
    FROM {{ teams }}
)

SELECT
    figures.period,
    departments.department,
    figures.learners,
    figures.records,
    figures.completion_rate,
    figures.on_time_rate,
    figures.median_days
FROM {{ figures }} AS figures
INNER JOIN departments
    ON
        figures.period = departments.period
        AND figures.department_number = departments.department_number
