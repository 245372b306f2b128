-- Classes that the last release has as well, and of which fewer than k rows came or went since.
WITH now AS (
    SELECT
        hash({{ key | identifiers }}) AS class,
        count(*) AS people
    FROM {{ rows }}
    GROUP BY ALL
),

before AS (
    SELECT
        hash({{ key | identifiers }}) AS class,
        count(*) AS people
    FROM {{ released }}
    GROUP BY ALL
)

SELECT count(*)
FROM now
INNER JOIN before ON now.class = before.class
WHERE abs(now.people - before.people) BETWEEN 1 AND {{ k | literal }} - 1
