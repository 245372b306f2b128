-- Members of a total (id) who are in no lot, with those of the smallest lot of this total. lot:
-- theirs so far, NULL without one.
WITH smallest AS (
    SELECT
        id,
        arg_min(lot, (people, lot)) FILTER (WHERE lot IS NOT NULL) AS lot
    FROM (
        SELECT
            {{ id }} AS id,
            lot,
            count(*) AS people
        FROM {{ lots }}
        GROUP BY ALL
    )
    GROUP BY id
    HAVING bool_or(lot IS NULL) AND bool_or(lot IS NOT NULL)
)

SELECT
    smallest.id,
    lots.lot,
    lots.person,
    lots.team,
    lots.not_adverse
FROM {{ lots }} AS lots
INNER JOIN smallest ON {{ id }} = smallest.id
WHERE lots.lot IS NULL OR lots.lot = smallest.lot
