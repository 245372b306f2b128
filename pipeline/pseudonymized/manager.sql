-- Rows for managers about their reports: one per report and course, with its current state and the
-- outcome of exams. Behind every column is its treatment, which data_map.yaml has to allow for the
-- fields that the column is made of.
SELECT
    manager.ref AS manager_ref, -- pseudonymize
    learner.ref AS learner_ref, -- pseudonymize
    r.course_code, -- keep
    r.state, -- generalize
    r.outcome -- generalize
FROM {{ rows }} AS r
INNER JOIN {{ pseudonyms }} AS learner ON r.person = learner.person
LEFT JOIN {{ pseudonyms }} AS manager ON r.manager = manager.person
ORDER BY learner.place ASC, r.record_key ASC
