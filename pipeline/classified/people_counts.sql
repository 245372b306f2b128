-- Whom classified rows name, and in how many rows.
-- Columns: person, department (of learners), manages (named as a manager), n (rows).
SELECT
    person,
    department,
    FALSE AS manages,
    count(*) AS n
FROM {{ rows }}
GROUP BY ALL
UNION ALL
SELECT
    manager AS person,
    NULL AS department,
    TRUE AS manages,
    count(*) AS n
FROM {{ rows }}
WHERE manager IS NOT NULL
GROUP BY ALL
