-- Rows for HR and legal, in detail. Behind every column is its treatment, which data_map.yaml has
-- to allow for the fields that the column is made of.
SELECT
    learner.ref AS learner_ref, -- pseudonymize
    manager.ref AS manager_ref, -- pseudonymize
    r.record_type, -- keep
    r.source, -- keep
    r.region, -- generalize
    r.department, -- keep
    r.course_code, -- keep
    r.course_title, -- keep
    r.sensitivity, -- generalize
    r.assigned_on, -- generalize
    r.assigned_at, -- keep
    r.started_on, -- generalize
    r.started_at, -- keep
    r.event_on, -- generalize
    r.event_at, -- keep
    r.event_zone, -- generalize
    r.due_on, -- generalize
    r.due_at, -- keep
    r.status, -- keep
    outcome_of(r.status) AS outcome, -- generalize
    r.score, -- keep
    r.attempts, -- keep
    r.has_comment -- tokenise
FROM {{ rows }} AS r
INNER JOIN {{ pseudonyms }} AS learner ON r.person = learner.person
LEFT JOIN {{ pseudonyms }} AS manager ON r.manager = manager.person
ORDER BY learner.place ASC, r.record_key ASC
