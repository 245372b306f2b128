-- Members of the classes at one level: who is in none so far, and who is in one of this level.
SELECT
    classes.class AS id,
    people.person,
    people.team,
    people.not_adverse
FROM {{ people }} AS people
INNER JOIN {{ placement }} AS placement ON people.number = placement.number
INNER JOIN {{ classes }} AS classes ON people.number = classes.number
WHERE
    classes.level = {{ level | literal }}
    AND coalesce(placement.level, {{ level | literal }}) = {{ level | literal }}
