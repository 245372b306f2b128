-- The region that a country belongs to. Columns: country, home_region.
SELECT
    v.country,
    v.home_region
FROM (VALUES {{ region_of.items() | tuples }}) AS v (country, home_region)
