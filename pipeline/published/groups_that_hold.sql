-- Groups that may be published: of at least k people, of whom enough have a row that is not
-- adverse. The same has to hold of those outside each team, if there are any, since its manager
-- knows how all others of the group stand (team NULL: nobody's).
WITH people AS (
    SELECT
        id,
        person,
        any_value(team) AS team,
        bool_or(not_adverse) AS not_adverse
    FROM {{ members }}
    GROUP BY id, person
),

teams AS (
    SELECT
        id,
        team,
        count(*) AS people,
        count(*) FILTER (WHERE not_adverse) AS not_adverse
    FROM people
    GROUP BY id, team
),

totals AS (
    SELECT
        *,
        sum(people) OVER (PARTITION BY id) AS all_people,
        sum(not_adverse) OVER (PARTITION BY id) AS all_not_adverse
    FROM teams
)

SELECT id
FROM totals
GROUP BY id
HAVING
    any_value(all_people) >= {{ k | literal }}
    AND any_value(all_not_adverse) >= {{ minimum_not_adverse | literal }}
    AND bool_and(
        team IS NULL
        OR all_people = people
        OR (
            all_people - people >= {{ k | literal }}
            AND all_not_adverse - not_adverse >= {{ minimum_not_adverse | literal }}
        )
    )
