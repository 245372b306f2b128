-- Every identifier that stands for somebody: of employees, and of learners and managers of any
-- stored row. Column: person.
SELECT learner_id AS person
FROM {{ history }}
UNION
SELECT manager_id AS person
FROM {{ history }}
WHERE manager_id IS NOT NULL
UNION
SELECT manager_id AS person
FROM {{ rows }}
WHERE manager_id IS NOT NULL
UNION
SELECT person
FROM {{ classified }}
UNION
SELECT learner_id AS person
FROM {{ rows }}
WHERE learner_id IS NOT NULL
