-- Every run of one to four words of each text. Columns: text, gram (folded).
SELECT DISTINCT
    t.text,
    unnest(word_grams(t.text)) AS gram
FROM {{ texts }} AS t
WHERE t.text IS NOT NULL
