-- Published figures of teams, under the pseudonyms that their managers have now. Teams of a manager
-- whom no record names any more are left out.
SELECT
    teams.current_ref AS team_ref,
    {{ columns | identifiers }}
FROM {{ history }} AS history
INNER JOIN {{ teams }} AS teams ON history.team_ref = teams.former_ref
