-- Whom the identifiers mean that are made of an address: the mailbox and its hash.
-- Columns: identifier, person (NULL: ambiguous), valid_from, valid_until, problem.
SELECT
    i.identifier,
    i.person,
    i.valid_from,
    i.valid_until,
    CASE WHEN i.person IS NULL THEN {{ ambiguous | literal }} END AS problem
FROM (
    SELECT
        'mbox:mailto:' || a.address AS identifier,
        a.person,
        a.valid_from,
        a.valid_until
    FROM {{ addresses }} AS a
    UNION ALL
    SELECT
        'sha1:' || sha1('mailto:' || a.address) AS identifier,
        a.person,
        a.valid_from,
        a.valid_until
    FROM {{ addresses }} AS a
) AS i
WHERE i.person IS NULL OR i.identifier <> i.person
