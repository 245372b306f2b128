-- Rows for analysts: months and score bands, nobody's manager. Behind every column is its
-- treatment, which data_map.yaml has to allow for the fields that the column is made of.
SELECT
    learner.ref AS learner_ref, -- pseudonymize
    r.record_type, -- keep
    r.region, -- generalize
    r.department, -- keep
    r.course_code, -- keep
    month_of(coalesce(r.event_on, r.assigned_on)) AS period, -- generalize
    r.status, -- keep
    score_band(r.score) AS score_band -- generalize
FROM {{ rows }} AS r
INNER JOIN {{ pseudonyms }} AS learner ON r.person = learner.person
ORDER BY learner.place ASC, r.record_key ASC
