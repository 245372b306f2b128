-- The classes of a published table, whose rows stand here with the person: rows, people, and
-- distinct outcomes of each.
SELECT
    {{ key | identifiers }},
    count(*) AS size,
    count(DISTINCT person) AS people,
    count(DISTINCT row(status, score_band)) AS outcomes
FROM {{ table }}
GROUP BY {{ key | identifiers }}
