-- Of each total of which so few people are left over that a subtraction would give them away: the
-- smallest class beside them, which is to join them.
SELECT arg_min(class, (people, class)) AS class
FROM (
    SELECT
        totals.total,
        classes.class,
        count(DISTINCT people.person) AS people
    FROM {{ people }} AS people
    INNER JOIN {{ placement }} AS placement ON people.number = placement.number
    INNER JOIN {{ classes }} AS classes
        ON people.number = classes.number AND placement.level = classes.level
    INNER JOIN {{ totals }} AS totals ON people.number = totals.number
    WHERE
        placement.level < {{ level | literal }}
        AND totals.total IN (SELECT left_over.id FROM ({{ left_over }}) AS left_over)
        AND totals.total NOT IN (SELECT holding.id FROM ({{ holding }}) AS holding)
    GROUP BY totals.total, classes.class
)
GROUP BY total
