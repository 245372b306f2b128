-- Courses. Columns: course_code, sensitivity (NULL = ordinary), reviewed, title: the most frequent
-- one that does not name a person.
SELECT
    s.course_code,
    s.sensitivity,
    s.reviewed,
    t.title
FROM ({{ sensitivity }}) AS s
LEFT JOIN (
    SELECT
        u.course_code,
        arg_max(u.course_title, (u.n, u.course_title)) AS title
    FROM {{ titles }} AS u
    WHERE
        u.shown
        AND NOT looks_personal(u.course_title)
        AND u.course_title NOT IN (SELECT n.text FROM {{ naming }} AS n)
    GROUP BY u.course_code
) AS t ON s.course_code = t.course_code
