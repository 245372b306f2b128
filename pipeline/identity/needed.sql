-- The roster rows that say when an address was whose, where that matters to a stored record: of
-- every run the first and the last row and the one that ended it, if the employee had several
-- addresses, had one that somebody else had as well, or is on no newer roster; as long as a record
-- names the employee, the address, or somebody else who had it. Columns: person, day.
WITH several AS (
    SELECT address
    FROM {{ holdings }}
    WHERE address IS NOT NULL
    GROUP BY address
    HAVING count(DISTINCT person) > 1
),

named AS (
    SELECT DISTINCT
        h.person,
        h.address
    FROM {{ holdings }} AS h
    WHERE
        h.person IN (SELECT p.person FROM {{ people }} AS p)
        OR 'mbox:mailto:' || h.address IN (SELECT p.person FROM {{ people }} AS p)
        OR 'sha1:' || sha1('mailto:' || h.address) IN (SELECT p.person FROM {{ people }} AS p)
),

involved AS (
    SELECT person
    FROM named
    UNION
    SELECT h.person
    FROM {{ holdings }} AS h
    INNER JOIN named AS n ON h.address = n.address
),

kept AS (
    SELECT h.person
    FROM {{ holdings }} AS h
    INNER JOIN involved AS i ON h.person = i.person
    GROUP BY h.person
    HAVING
        count(*) > 1
        OR bool_or(h.address IN (SELECT s.address FROM several AS s))
        OR max(h.last_seen) <= {{ whole | literal }}
)

SELECT DISTINCT
    h.person,
    unnest([h.first_seen, h.last_seen, coalesce(h.until, h.last_seen)]) AS day
FROM {{ holdings }} AS h
INNER JOIN kept AS k ON h.person = k.person
