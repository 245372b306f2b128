-- One coaching table over all published periods: figures, people behind the smallest one (k),
-- outcomes of the least diverse one (l), and share covered of the company's published records.
SELECT
    count(*) AS figures,
    min(figures.learners) AS k,
    min(1 + (figures.completion_rate > 0 AND figures.completion_rate < 1)::INT) AS l,
    sum(figures.records)
    / (SELECT nullif(sum(company.records), 0) FROM {{ company }} AS company) AS covered
FROM {{ table }} AS figures
