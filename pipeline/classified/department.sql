-- The departments that are kept: one of fewer people than k is none, nor is one that reads like a
-- person. Column: department.
SELECT d.department
FROM (
    SELECT
        l.person,
        coalesce(p.department, l.department) AS department
    FROM {{ learners }} AS l
    LEFT JOIN {{ people }} AS p ON l.person = p.learner_id
) AS d
WHERE
    d.department IS NOT NULL
    AND NOT looks_personal(d.department)
    AND d.department NOT IN (SELECT n.text FROM {{ naming }} AS n)
GROUP BY d.department
HAVING count(DISTINCT d.person) >= {{ least_people | literal }}
