-- The classes of a published table: rows, people, and distinct outcomes of each.
SELECT
    {{ key | identifiers }},
    count(*) AS size,
    count(DISTINCT learner_ref) AS people,
    count(DISTINCT row(status, score_band)) AS outcomes
FROM {{ table }}
GROUP BY {{ key | identifiers }}
