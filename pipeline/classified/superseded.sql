-- How many canonical rows were voided or superseded, counted another way than current.sql does it,
-- so that reconciliation can find a row that the classification lost.
-- 128 bits of two unlike hashes stand for the key's five texts in half the time.
SELECT (SELECT count(*) FROM {{ every_row }}) - count(*) AS superseded
FROM (
    SELECT DISTINCT
        hash({{ key | identifiers }}) AS one,
        hash({{ reversed_key | identifiers }}, 1) AS other
    FROM ({{ standing }})
)
