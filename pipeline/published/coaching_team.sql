-- Per team (everybody who reports to one manager) and period.
SELECT
    figures.period,
    teams.department,
    teams.team_ref,
    figures.learners,
    figures.records,
    figures.completion_rate,
    figures.on_time_rate,
    figures.median_days
FROM {{ figures }} AS figures
INNER JOIN {{ teams }} AS teams
    ON figures.period = teams.period AND figures.team = teams.team
