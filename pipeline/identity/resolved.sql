-- Rows with their day, and with who they are about on it: `person`; `known`, did the rosters say
-- who; and `doubt`, why nobody can say (NULL if somebody is meant). Who cannot be resolved is a
-- person of that identifier.
SELECT
    r.*,
    coalesce(i.person, r.learner_id) AS person,
    i.person IS NOT NULL AS known,
    i.problem AS doubt
FROM (
    SELECT
        *,
        {{ day }} AS day
    FROM {{ rows }}
) AS r
LEFT JOIN {{ identifiers }} AS i
    ON r.learner_id = i.identifier AND r.day >= i.valid_from AND r.day < i.valid_until
