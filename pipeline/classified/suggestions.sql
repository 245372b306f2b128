-- The categories that the words of a course's code and titles suggest, in the order of the policy.
-- Columns: course_code, categories.
WITH texts AS (
    SELECT t.course_code, unnest([t.course_code, t.course_title]) AS text FROM {{ titles }} AS t
),

worded AS (
    SELECT
        t.course_code,
        regexp_replace(
            string_agg(course_words(t.text), '|'), {{ harmless | literal }}, ' ', 'g'
        ) AS words
    FROM (SELECT DISTINCT x.course_code, x.text FROM texts AS x) AS t
    WHERE t.text IS NOT NULL
    GROUP BY t.course_code
)

SELECT
    w.course_code,
    list_filter([
        {% for name, pattern in suggestions %}
            CASE
                WHEN regexp_matches(w.words, {{ pattern | literal }}) THEN {{ name | literal }}
            END{% if not loop.last %},{% endif %}

        {% endfor %}
    ], LAMBDA name: name IS NOT NULL) AS categories
FROM worded AS w
