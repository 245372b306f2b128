-- Rows for the coaching figures: who, in which team, how far, how fast. Behind every column is its
-- treatment, which data_map.yaml has to allow for the fields that the column is made of.
SELECT
    learner.ref AS learner_ref, -- pseudonymize
    manager.ref AS team_ref, -- pseudonymize
    r.department, -- keep
    r.course_code, -- keep
    month_of(coalesce(r.event_at, r.assigned_at)) AS period, -- generalize
    is_complete(r.status) AS complete, -- generalize
    CASE
        WHEN r.due_at IS NOT NULL THEN is_complete(r.status) AND r.event_at <= r.due_at
    END AS on_time, -- generalize
    CASE
        WHEN is_complete(r.status) AND r.event_at >= r.assigned_at
            THEN epoch(r.event_at - r.assigned_at) / 86400
    END AS days, -- generalize
    score_band(r.score) AS score_band -- generalize
FROM {{ rows }} AS r
INNER JOIN {{ pseudonyms }} AS learner ON r.person = learner.person
LEFT JOIN {{ pseudonyms }} AS manager ON r.manager = manager.person
ORDER BY learner.place ASC, r.record_key ASC
