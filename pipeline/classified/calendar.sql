-- The zone in whose calendar a region counts its days; '' is no region. Columns: region, zone.
SELECT
    v.region,
    v.zone
FROM (VALUES {{ zones.items() | tuples }}) AS v (region, zone)
