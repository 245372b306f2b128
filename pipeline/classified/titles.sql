-- The titles that rows give courses. Columns: course_code, course_title, n (rows).
SELECT
    r.course_code,
    r.course_title,
    count(*) AS n
FROM {{ rows }} AS r
GROUP BY r.course_code, r.course_title
