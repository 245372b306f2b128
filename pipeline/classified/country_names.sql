-- The country that each name means, as they are compared. Columns: name, country (ISO 3166-1
-- alpha-2). A name that means two of the same rank means neither.
SELECT
    r.name,
    any_value(r.country) AS country
FROM (
    SELECT
        country_key(n.name) AS name,
        n.country
    FROM {{ names }} AS n
    QUALIFY rank() OVER (PARTITION BY country_key(n.name) ORDER BY n.rank) = 1
) AS r
GROUP BY r.name
HAVING count(DISTINCT r.country) = 1
