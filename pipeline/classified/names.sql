-- Names for the 1:1 sheet: of everybody on the roster who has a record, as a learner. Columns:
-- person (raw identifier), name.
SELECT
    r.learner_id AS person,
    trim(r.name) AS name
FROM {{ roster }} AS r
WHERE
    trim(r.name) <> ''
    AND r.learner_id IN (
        SELECT p.person
        FROM {{ people }} AS p
        WHERE NOT p.manages
    )
ORDER BY r.learner_id
