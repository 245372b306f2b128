-- Classes of at least k people, of whom enough have a row that is not adverse.
SELECT class
FROM (
    SELECT
        generalized.class,
        people.person,
        bool_or(people.not_adverse) AS not_adverse
    FROM {{ people }} AS people
    INNER JOIN {{ generalized }} AS generalized ON people.number = generalized.number
    GROUP BY generalized.class, people.person
)
GROUP BY class
HAVING
    count(*) >= {{ k | literal }}
    AND count(*) FILTER (WHERE not_adverse) >= {{ minimum_not_adverse | literal }}
