-- Groups and how many people there are in them at the least, and with a row that is not adverse:
-- in all of a group, or in what is left of it without any one team, if there is anything, since its
-- manager knows how all others of the group stand (team NULL: nobody's).
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
        id,
        team IS NOT NULL AND people < sum(people) OVER of_group AS can_be_taken_away,
        people,
        not_adverse,
        sum(people) OVER of_group AS all_people,
        sum(not_adverse) OVER of_group AS all_not_adverse
    FROM teams
    WINDOW of_group AS (PARTITION BY id)
)

SELECT
    id,
    least(
        any_value(all_people), min(all_people - people) FILTER (WHERE can_be_taken_away)
    )::BIGINT AS people,
    least(
        any_value(all_not_adverse),
        min(all_not_adverse - not_adverse) FILTER (WHERE can_be_taken_away)
    )::BIGINT AS not_adverse
FROM totals
GROUP BY id
