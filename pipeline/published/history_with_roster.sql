-- The row history, with who has left by now: a window can run from the end of employment.
SELECT
    history.* REPLACE (
        coalesce(roster.left_on, history.left_on) AS left_on,
        coalesce(roster.learner_id IS NOT NULL, history.on_roster) AS on_roster
    )
FROM {{ history }} AS history
LEFT JOIN {{ roster }} AS roster ON history.person = roster.learner_id
