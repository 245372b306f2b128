-- Whom an identifier means that is no employee's own number; one row for every time of each, so
-- that no day has two. An identifier that is not listed stands for itself.
-- Columns: identifier, person (NULL: nobody can say), valid_from, valid_until (the day after the
-- last), problem (why nobody can say; NULL if somebody is meant).
SELECT
    identifier,
    person,
    valid_from,
    valid_until,
    problem
FROM {{ of_addresses }}
UNION ALL
SELECT
    n.identifier,
    a.person,
    a.valid_from,
    a.valid_until,
    CASE WHEN a.person IS NULL THEN {{ ambiguous | literal }} END AS problem
FROM {{ named }} AS n
INNER JOIN {{ addresses }} AS a ON mail_address(account_name(n.identifier)) = a.address
WHERE account_page(n.identifier) IN ({{ company_pages }})
UNION ALL
SELECT
    identifier,
    person,
    DATE '-infinity' AS valid_from,
    DATE 'infinity' AS valid_until,
    problem
FROM {{ spellings }}
