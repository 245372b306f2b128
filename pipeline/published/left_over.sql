-- Who is left over of each total: the members that are in no class, or in one from a level on.
SELECT
    totals.total AS id,
    people.person,
    people.team,
    people.not_adverse
FROM {{ people }} AS people
INNER JOIN {{ placement }} AS placement ON people.number = placement.number
INNER JOIN {{ totals }} AS totals ON people.number = totals.number
WHERE coalesce(placement.level >= {{ level | literal }}, TRUE)
