-- The region of every country as it was delivered: a code or a name. A text that is no country, and
-- a country that no region has, is in the region for what is unknown, and never in one by the
-- folder that the delivery came in. Columns: country, home_region.
SELECT
    d.country,
    coalesce(v.home_region, {{ unknown | literal }}) AS home_region
FROM (
    SELECT country FROM {{ rows }}
    UNION
    SELECT country FROM {{ people }}
) AS d
LEFT JOIN {{ country_names }} AS n ON country_key(d.country) = n.name
LEFT JOIN (VALUES {{ region_of.items() | tuples }}) AS v (country, home_region)
    ON n.country = v.country
WHERE d.country IS NOT NULL
