-- The courses that published tables name, one row each. Columns: course_code, course_title (NULL
-- where none is known, or every one could name a person), category.
WITH named AS (
    {% for table in beside %}
        {% if not loop.first %}UNION{% endif %}
        SELECT DISTINCT course_code
        FROM {{ table }}
        WHERE course_code IS NOT NULL
    {% endfor %}
),

courses AS (
    SELECT
        named.course_code,
        titled.title AS course_title,
        {{ category_of_course }} AS category
    FROM named
    LEFT JOIN ({{ titles }}) AS titled ON named.course_code = titled.course_code
)

SELECT {{ columns | identifiers }}
FROM courses
ORDER BY course_code
