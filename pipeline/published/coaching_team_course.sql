-- Per team, course and period: the finest figures.
SELECT
    figures.period,
    teams.department,
    teams.team_ref,
    courses.course_code,
    figures.learners,
    figures.records,
    figures.completion_rate,
    figures.on_time_rate,
    figures.median_days
FROM {{ figures }} AS figures
INNER JOIN {{ teams }} AS teams
    ON figures.period = teams.period AND figures.team = teams.team
INNER JOIN {{ courses }} AS courses
    ON figures.period = courses.period AND figures.course = courses.course
