-- Every run of one to four words of each text. Columns: text, gram (folded), and whatever stands
-- beside the text.
SELECT DISTINCT
    {% if beside %}
        {{ beside | identifiers }},
    {% endif %}
    t.text,
    unnest(word_grams(t.text)) AS gram
FROM {{ texts }} AS t
WHERE t.text IS NOT NULL
