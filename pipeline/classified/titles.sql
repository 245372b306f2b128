-- The titles that rows give courses, those under all language tags. Columns: course_code,
-- course_title, language (NULL where the source has one title only), shown (is it the one that rows
-- are shown with?), n (rows).
WITH given AS (
    SELECT
        r.course_code,
        r.course_title,
        r.course_titles,
        count(*) AS n
    FROM {{ rows }} AS r
    WHERE r.course_code IS NOT NULL
    GROUP BY r.course_code, r.course_title, r.course_titles
)

SELECT
    v.course_code,
    v.course_title,
    v.language,
    v.shown,
    sum(v.n)::BIGINT AS n
FROM (
    SELECT
        course_code,
        course_title,
        NULL::VARCHAR AS language,
        TRUE AS shown,
        n
    FROM given
    UNION ALL
    SELECT
        course_code,
        unnest(json_extract_string(course_titles, '$.*')) AS course_title,
        unnest(json_keys(course_titles)) AS language,
        FALSE AS shown,
        n
    FROM given
    WHERE course_titles IS NOT NULL
) AS v
GROUP BY v.course_code, v.course_title, v.language, v.shown
