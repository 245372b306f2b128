-- The category of each course, by its explicit code or by a pattern in code or title; NULL if none.
-- Columns: course_code, sensitivity.
SELECT
    t.course_code,
    CASE
        WHEN bool_or(t.course_code IN ({{ codes | literals }})) THEN 'listed'
        {% for name, pattern in patterns.items() %}
        WHEN
            bool_or(regexp_matches(
                concat_ws(' ', t.course_code, t.course_title), {{ pattern | literal }}
            ))
            THEN {{ name | literal }}
        {% endfor %}
    END AS sensitivity
FROM {{ titles }} AS t
GROUP BY t.course_code
