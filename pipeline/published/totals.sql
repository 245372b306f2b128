-- The total that each combination counts in.
SELECT
    number,
    hash({{ level | literal }}, {{ key | identifiers }}) AS total
FROM {{ combinations }}
WHERE {{ counts }}
