-- What ordinary courses are called. Columns: course_code, title (NULL where none may be shown).
SELECT
    c.course_code,
    any_value(c.course_title) FILTER (WHERE {{ titled | literal }}) AS title
FROM {{ classified }} AS c
WHERE c.reviewed AND c.sensitivity IS NULL
GROUP BY c.course_code
