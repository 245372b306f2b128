-- Who may be meant by a text. Columns: person, because (what fits best, best first).
WITH given AS MATERIALIZED (
    SELECT
        {{ text | literal }} AS text,
        CASE
            WHEN is_namespaced({{ text | literal }}) THEN same_form({{ text | literal }})
            ELSE employee_identifier({{ text | literal }})
        END AS identifier
),

-- Whom the identifier means at any time; itself where it means nobody else.
by_identifier AS (
    SELECT
        coalesce(i.person, g.identifier) AS person,
        CASE
            WHEN starts_with(g.identifier, 'emp:') THEN 'number'
            WHEN starts_with(g.identifier, 'mbox:') THEN 'address'
            ELSE 'identifier'
        END AS because,
        1 AS place
    FROM given AS g
    LEFT JOIN {{ identifiers }} AS i ON g.identifier = i.identifier
    UNION
    SELECT
        h.person,
        'address' AS because,
        1 AS place
    FROM given AS g
    INNER JOIN {{ holdings }} AS h
        ON
            g.identifier = 'mbox:mailto:' || h.address
            OR g.identifier = 'sha1:' || sha1('mailto:' || h.address)
),

-- A number as a spreadsheet made it, and numbers that are no employee's.
by_number AS (
    SELECT
        k.person,
        'number' AS because,
        2 AS place
    FROM given AS g
    INNER JOIN {{ known }} AS k
        ON
            starts_with(k.person, 'emp:')
            AND starts_with(g.identifier, 'emp:')
            AND list_contains(
                number_readings(substr(g.identifier, 5)), number_core(substr(k.person, 5))
            )
    UNION ALL
    SELECT
        k.person,
        'identifier' AS because,
        2 AS place
    FROM given AS g
    INNER JOIN {{ known }} AS k
        ON k.person = 'ou:' || stripped(g.text) OR account_name(k.person) = stripped(g.text)
),

-- By the words of the name, in whatever order, without case and accents.
by_name AS (
    SELECT
        h.learner_id AS person,
        'name' AS because,
        3 AS place
    FROM given AS g
    INNER JOIN {{ history }} AS h
        ON
            name_words(h.name) = name_words(g.text)
    WHERE h.name IS NOT NULL
),

meant AS (
    SELECT
        f.person,
        f.because,
        f.place
    FROM (
        FROM by_identifier
        UNION ALL
        FROM by_number
        UNION ALL
        FROM by_name
    ) AS f
    WHERE f.person IN (SELECT k.person FROM {{ known }} AS k)
    -- What fits exactly is not one of several that could be read so.
    QUALIFY f.place = min(f.place) OVER ()
),

-- A second employment: another number with the same name, and an address that both had.
twins AS (
    SELECT
        o.learner_id AS person,
        'same name and address' AS because,
        4 AS place
    FROM meant AS m
    INNER JOIN {{ history }} AS h ON m.person = h.learner_id
    INNER JOIN {{ history }} AS o
        ON
            folded(h.name) = folded(o.name)
            AND h.email = o.email
            AND h.learner_id <> o.learner_id
)

SELECT
    e.person,
    arg_min(e.because, e.place) AS because
FROM (
    FROM meant
    UNION ALL
    FROM twins
) AS e
GROUP BY e.person
ORDER BY min(e.place) ASC, e.person ASC
