-- Whom an address means, day by day. Who alone ever had it is meant at any time. Of several, the
-- one who had it on that day; before the first of them, the first; an address of somebody who left
-- is theirs until the next one has it. Where two had it at the same time, or nobody had it: nobody.
-- Columns: address, person (NULL: ambiguous), valid_from, valid_until (the day after the last).
WITH several AS (
    SELECT address
    FROM {{ holdings }}
    WHERE address IS NOT NULL
    GROUP BY address
    HAVING count(DISTINCT person) > 1
),

held AS (
    SELECT
        h.address,
        h.person,
        h.first_seen,
        coalesce(h.until, min(o.first_seen), DATE 'infinity') AS until
    FROM {{ holdings }} AS h
    INNER JOIN several AS s ON h.address = s.address
    LEFT JOIN {{ holdings }} AS o
        ON h.address = o.address AND h.person <> o.person AND h.last_seen < o.first_seen
    GROUP BY h.address, h.person, h.first_seen, h.until
),

days AS (
    SELECT
        d.address,
        d.day,
        lead(d.day, 1, DATE 'infinity') OVER (PARTITION BY d.address ORDER BY d.day) AS next_day,
        row_number() OVER (PARTITION BY d.address ORDER BY d.day) = 1 AS first_of_all
    FROM (
        SELECT
            address,
            first_seen AS day
        FROM held
        UNION
        SELECT
            address,
            until AS day
        FROM held
        WHERE until < DATE 'infinity'
    ) AS d
)

SELECT
    address,
    any_value(person) AS person,
    DATE '-infinity' AS valid_from,
    DATE 'infinity' AS valid_until
FROM {{ holdings }}
WHERE address IS NOT NULL
GROUP BY address
HAVING count(DISTINCT person) = 1
UNION ALL
SELECT
    d.address,
    CASE WHEN count(DISTINCT h.person) = 1 THEN any_value(h.person) END AS person,
    CASE WHEN d.first_of_all THEN DATE '-infinity' ELSE d.day END AS valid_from,
    d.next_day AS valid_until
FROM days AS d
LEFT JOIN held AS h
    ON d.address = h.address AND d.day >= h.first_seen AND d.day < h.until
GROUP BY d.address, d.day, d.next_day, d.first_of_all
