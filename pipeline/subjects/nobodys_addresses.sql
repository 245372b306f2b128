-- The addresses by which canonical rows name people, and that no stored roster lists. Column:
-- identifier.
SELECT DISTINCT i.identifier
FROM (
    SELECT learner_id AS identifier FROM {{ records }}
    UNION
    SELECT manager_id AS identifier FROM {{ records }}
) AS i
WHERE
    (starts_with(i.identifier, 'mbox:') OR starts_with(i.identifier, 'sha1:'))
    AND i.identifier NOT IN (
        SELECT unnest(identifiers_of_address(r.email))
        FROM {{ rosters }} AS r
        WHERE r.email IS NOT NULL
    )
