-- The rows with numbers in place of people, teams and courses, and without their names.
WITH learners AS (SELECT DISTINCT learner_ref FROM {{ due }}),

people AS (
    SELECT
        learner_ref,
        row_number() OVER (ORDER BY learner_ref) - 1 AS person
    FROM learners
)

SELECT
    due.period,
    teams.team::INTEGER AS team,
    teams.department_number::INTEGER AS department_number,
    courses.course::INTEGER AS course,
    courses.category_number::INTEGER AS category_number,
    people.person::INTEGER AS person,
    due.complete,
    due.on_time,
    due.days,
    due.score_band::ENUM({{ bands | literals }}) AS score_band
FROM {{ due }} AS due
INNER JOIN {{ teams }} AS teams
    ON
        due.period = teams.period
        AND due.team_ref IS NOT DISTINCT FROM teams.team_ref
        AND due.department IS NOT DISTINCT FROM teams.department
INNER JOIN {{ courses }} AS courses
    ON
        due.period = courses.period
        AND due.course_code IS NOT DISTINCT FROM courses.course_code
INNER JOIN people ON due.learner_ref = people.learner_ref
