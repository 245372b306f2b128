-- Names, addresses and identifiers of known people. Column: entry, folded.
SELECT DISTINCT folded(e.entry) AS entry
FROM (
    -- The last name comes first in some texts.
    SELECT unnest([n.name, regexp_replace(n.name, '^(.+) (\S+)$', '\2 \1')]) AS entry
    FROM (
        -- As word_grams gives them: without what stands between the words.
        SELECT array_to_string(text_words(r.name), ' ') AS name
        FROM {{ roster }} AS r
        WHERE length(r.name) >= {{ shortest_name | literal }}
    ) AS n
    UNION
    SELECT r.email AS entry
    FROM {{ roster }} AS r
    WHERE r.email IS NOT NULL
    UNION
    SELECT b.bare AS entry
    FROM (
        SELECT regexp_extract(p.person, '([^:#/]+)/*$', 1) AS bare
        FROM {{ people }} AS p
    ) AS b
    WHERE length(b.bare) >= {{ shortest_number | literal }}
) AS e
