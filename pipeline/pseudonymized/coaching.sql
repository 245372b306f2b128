-- Rows for the coaching figures: who, in which team, how far, how fast. Behind every column is its
-- treatment, which data_map.yaml has to allow for the fields that the column is made of.
SELECT
    learner.ref AS learner_ref, -- pseudonymize
    manager.ref AS team_ref, -- pseudonymize
    r.department, -- keep
    r.course_code, -- keep
    month_of(coalesce(r.event_on, r.assigned_on)) AS period, -- generalize
    is_complete(r.status) AS complete, -- generalize
    CASE
        WHEN r.due_on IS NOT NULL
            THEN is_complete(r.status) AND in_time(r.event_on, r.event_at, r.due_on, r.due_at)
    END AS on_time, -- generalize
    CASE
        WHEN is_complete(r.status) THEN days_between(r.assigned_on, r.event_on)::DOUBLE
    END AS days, -- generalize
    score_band(r.score) AS score_band -- generalize
FROM {{ rows }} AS r
INNER JOIN {{ pseudonyms }} AS learner ON r.person = learner.person
LEFT JOIN {{ pseudonyms }} AS manager ON r.manager = manager.person
ORDER BY learner.place ASC, r.record_key ASC
