-- What the teams are called that published tables name, one row each: the unit on the roster of
-- more than half of those who report to the manager. Columns: team_ref, unit (NULL where it may not
-- be shown), withheld (why not; NULL where it is).
WITH named AS (
    {% for table in beside %}
        {% if not loop.first %}UNION{% endif %}
        SELECT DISTINCT team_ref
        FROM {{ table }}
        WHERE team_ref IS NOT NULL
    {% endfor %}
),

reports AS (
    SELECT
        coalesce(m.person, r.manager_id) AS manager,
        nullif(regexp_replace(trim(r.unit), '\s+', ' ', 'g'), '') AS unit,
        count(*) AS n
    FROM {{ roster }} AS r
    LEFT JOIN {{ identifiers }} AS m
        ON
            r.manager_id = m.identifier
            AND {{ today | literal }} >= m.valid_from
            AND {{ today | literal }} < m.valid_until
    WHERE r.manager_id IS NOT NULL AND coalesce(r.left_on > {{ today | literal }}, TRUE)
    GROUP BY ALL
),

-- Units differ if they read differently: blanks, accents and capitals are none.
units AS (
    SELECT
        r.manager,
        r.unit,
        folded(r.unit) AS spelling
    FROM reports AS r
    QUALIFY 2 * r.n > sum(r.n) OVER (PARTITION BY r.manager)
),

name_words AS (
    SELECT DISTINCT unnest(regexp_split_to_array(folded(h.name), '[^\p{L}\p{N}]+')) AS word
    FROM (SELECT DISTINCT name FROM {{ names }}) AS h
),

naming AS (
    SELECT DISTINCT w.spelling
    FROM (
        SELECT DISTINCT
            u.spelling,
            unnest(regexp_split_to_array(u.spelling, '[^\p{L}\p{N}]+')) AS word
        FROM units AS u
    ) AS w
    WHERE
        length(w.word) >= {{ letters | literal }}
        AND w.word NOT IN ({{ ordinary | literals }})
        AND w.word IN (SELECT n.word FROM name_words AS n)
    UNION
    -- A whole name, also one of ordinary words, or a number.
    SELECT folded(g.text) AS spelling
    FROM ({{ grams }}) AS g
    WHERE g.gram IN (SELECT d.entry FROM {{ denylist }} AS d)
    UNION
    -- Where no blanks stand between words, a name is a part of one.
    SELECT u.spelling
    FROM units AS u
    INNER JOIN name_words AS n ON contains(u.spelling, n.word)
    WHERE
        length(n.word) > 1
        AND regexp_full_match(n.word, '[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}]+')
),

called AS (
    SELECT
        u.manager,
        u.unit,
        CASE
            WHEN u.unit IS NULL THEN {{ missing | literal }}
            WHEN count(*) OVER (PARTITION BY u.spelling) > 1 THEN {{ shared | literal }}
            WHEN
                length(u.unit) > {{ longest | literal }}
                OR looks_personal(u.unit)
                OR g.spelling IS NOT NULL
                THEN {{ personal | literal }}
        END AS withheld
    FROM units AS u
    LEFT JOIN naming AS g ON u.spelling = g.spelling
)

SELECT
    named.team_ref,
    CASE WHEN c.withheld IS NULL THEN c.unit END AS unit,
    CASE WHEN c.manager IS NULL THEN {{ missing | literal }} ELSE c.withheld END AS withheld
FROM named
LEFT JOIN {{ pseudonyms }} AS v ON named.team_ref = v.ref
LEFT JOIN called AS c ON v.person = c.manager
ORDER BY named.team_ref
