-- One row per period and course. Numbers are consecutive within a period, from 0.
WITH due_courses AS (
    SELECT DISTINCT
        period,
        course_code
    FROM {{ due }}
),

courses AS (
    SELECT
        period,
        course_code,
        {{ category_of_course }} AS category
    FROM due_courses
)

SELECT
    period,
    category,
    course_code,
    dense_rank() OVER (PARTITION BY period ORDER BY category, course_code) - 1 AS course,
    dense_rank() OVER (PARTITION BY period ORDER BY category) - 1 AS category_number
FROM courses
