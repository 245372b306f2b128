-- How many courses the pipeline's words suggest a category of, by category. Columns: category, n
-- (different courses). A course of several categories counts in each.
WITH worded AS (
    SELECT DISTINCT
        c.code,
        regexp_replace(
            course_words(concat_ws('|', c.code, c.title)), {{ harmless | literal }}, ' ', 'g'
        ) AS words
    FROM {{ courses }} AS c
)

{% for name, pattern in suggestions %}
    SELECT
        {{ name | literal }} AS category,
        count(DISTINCT w.code) AS n
    FROM worded AS w
    WHERE regexp_matches(w.words, {{ pattern | literal }})
    {% if not loop.last %}UNION ALL{% endif %}

{% endfor %}
