-- Whom a number means that is on no roster as it stands: an account's name on a page of the
-- company, or a number that a spreadsheet or a data frame had hold of. It means an employee if it
-- can be read as the number of exactly one; two numbers that differ by leading zeros are two.
-- Columns: identifier, person (NULL: nobody, or several), problem (why).
WITH employees AS (
    SELECT
        learner_id AS person,
        number_core(substr(learner_id, 5)) AS core
    FROM {{ history }}
    WHERE starts_with(learner_id, 'emp:')
    GROUP BY learner_id
),

spelled AS (
    SELECT
        identifier,
        substr(identifier, 5) AS number
    FROM {{ named }}
    WHERE starts_with(identifier, 'emp:')
    UNION ALL
    SELECT
        identifier,
        employee_number(account_name(identifier)) AS number
    FROM {{ named }}
    WHERE
        account_page(identifier) IN ({{ company_pages }})
        AND NOT contains(account_name(identifier), '@')
),

unlike AS (
    SELECT
        s.identifier,
        s.number,
        e.person AS exact
    FROM spelled AS s
    LEFT JOIN employees AS e ON 'emp:' || s.number = e.person
    WHERE e.person IS NULL OR s.identifier <> e.person
)

SELECT
    u.identifier,
    CASE
        WHEN u.exact IS NOT NULL THEN u.exact
        WHEN count(DISTINCT e.person) = 1 THEN any_value(e.person)
    END AS person,
    CASE
        WHEN u.exact IS NOT NULL OR count(DISTINCT e.person) = 1 THEN NULL
        WHEN count(DISTINCT e.person) > 1 OR looks_damaged(u.number)
            THEN {{ damaged | literal }}
    END AS problem
FROM (
    SELECT
        identifier,
        number,
        exact,
        unnest(number_readings(number)) AS reading
    FROM unlike
) AS u
LEFT JOIN employees AS e ON u.reading = e.core
GROUP BY u.identifier, u.number, u.exact
HAVING
    u.exact IS NOT NULL
    OR count(DISTINCT e.person) > 0
    OR looks_damaged(u.number)
