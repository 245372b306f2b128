-- Each combination of the key's values that the rows have, with a number of its own.
SELECT
    row_number() OVER ()::INTEGER AS number,
    {{ key | identifiers }}
FROM (SELECT DISTINCT {{ key | identifiers }} FROM {{ rows }})
