-- The region that a country belongs to. Columns: country, home_region.
SELECT
    v.country,
    v.home_region
FROM (
    VALUES
    {% for country, region in region_of.items() %}
    ({{ country | literal }}, {{ region | literal }}){% if not loop.last %},{% endif %}

    {% endfor %}
) AS v (country, home_region)
