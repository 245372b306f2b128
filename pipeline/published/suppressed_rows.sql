-- How many rows people have in the store beyond those in the published table, in total.
WITH stored AS (
    SELECT
        learner_ref,
        count(*) AS records
    FROM {{ rows }}
    GROUP BY learner_ref
),

published AS (
    SELECT
        learner_ref,
        count(*) AS records
    FROM {{ table }}
    GROUP BY learner_ref
)

SELECT coalesce(sum(greatest(stored.records - coalesce(published.records, 0), 0)), 0)
FROM stored
LEFT JOIN published ON stored.learner_ref = published.learner_ref
