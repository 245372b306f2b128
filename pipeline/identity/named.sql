-- Every identifier that a row has for a learner or a manager. Column: identifier.
SELECT learner_id AS identifier
FROM {{ rows }}
UNION
SELECT manager_id AS identifier
FROM {{ rows }}
WHERE manager_id IS NOT NULL
UNION
SELECT manager_id AS identifier
FROM {{ history }}
WHERE manager_id IS NOT NULL
