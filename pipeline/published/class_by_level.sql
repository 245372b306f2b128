-- The class that a combination is in at each level of detail: all combinations that have the same
-- values in what is left of the quasi-identifiers there.
{% for key in keys %}
    {% if not loop.first %}
        UNION ALL
    {% endif %}
    SELECT
        number,
        {{ loop.index0 | literal }} AS level,
        hash({{ loop.index0 | literal }}, {{ key | identifiers }}) AS class
    FROM {{ combinations }}
{% endfor %}
