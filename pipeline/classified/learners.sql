-- Who the learners of the canonical rows are.
-- Columns: learner_id, department (as the rows have them), person.
SELECT DISTINCT
    r.learner_id,
    r.department,
    coalesce(a.person, r.learner_id) AS person
FROM (
    SELECT DISTINCT
        learner_id,
        department
    FROM {{ rows }}
) AS r
LEFT JOIN {{ alias }} AS a ON r.learner_id = a.alias
