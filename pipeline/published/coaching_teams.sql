-- One row per period and team. Numbers are consecutive within a period, from 0.
WITH teams AS (
    SELECT DISTINCT
        period,
        department,
        team_ref
    FROM {{ due }}
)

SELECT
    period,
    department,
    team_ref,
    dense_rank() OVER (PARTITION BY period ORDER BY department, team_ref) - 1 AS team,
    dense_rank() OVER (PARTITION BY period ORDER BY department) - 1 AS department_number
FROM teams
