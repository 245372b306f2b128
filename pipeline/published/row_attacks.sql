-- What attackers find in the analysts' rows, of rows with person, class and state: the share of
-- people with a row in a class of fewer than k, and in one that does not hold against a manager;
-- the highest chance that the details of a row that was found by its result are this person's own.
WITH sizes AS (
    SELECT
        class,
        count(DISTINCT person) AS people
    FROM {{ rows }}
    GROUP BY class
),

marked AS (
    SELECT
        rows.person,
        sizes.people < {{ k | literal }} AS few,
        holding.id IS NULL AS open_to_manager
    FROM {{ rows }} AS rows
    INNER JOIN sizes ON rows.class = sizes.class
    LEFT JOIN ({{ holding }}) AS holding ON rows.class = holding.id
),

people AS (
    SELECT
        person,
        bool_or(few) AS few,
        bool_or(open_to_manager) AS open_to_manager
    FROM marked
    GROUP BY person
)

SELECT
    coalesce((count(*) FILTER (WHERE people.few)) / count(*), 0) AS known_events,
    coalesce((count(*) FILTER (WHERE people.open_to_manager)) / count(*), 0) AS manager,
    coalesce(any_value(matched.share), 0) AS both_files
FROM people
CROSS JOIN (
    SELECT max(1 / lot_people) AS share
    FROM {{ rows }}
    WHERE detailed
) AS matched
