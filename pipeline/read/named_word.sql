-- Which word of a note, by its place from 1, is part of a known person's name or of the name in an
-- address, or has so many digits of a known number. Columns: place (NULL if there is none).
WITH note AS (
    SELECT
        list_filter(
            regexp_split_to_array(folded(g.text), '[^\p{L}\p{N}]+'), LAMBDA word: word <> ''
        ) AS words
    FROM given AS g
),

words AS (
    SELECT
        p.place,
        n.words[p.place] AS word,
        regexp_extract(n.words[p.place], {{ digits | literal }}) AS digits
    FROM note AS n, unnest(range(1, len(n.words) + 1)) AS p (place)
),

parts AS (
    SELECT unnest(regexp_split_to_array(split_part(d.entry, '@', 1), '[^\p{L}\p{N}]+')) AS part
    FROM reference.denylist AS d
)

SELECT min(w.place) AS place
FROM words AS w
WHERE
    (
        length(w.word) >= {{ letters | literal }}
        AND w.word NOT IN ({{ ordinary | literals }})
        AND w.word IN (SELECT p.part FROM parts AS p)
    )
    OR (
        w.digits <> ''
        AND EXISTS (
            SELECT 1
            FROM reference.denylist AS d
            WHERE contains(d.entry, w.digits)
        )
    )
