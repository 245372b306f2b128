-- The published columns of the rows that are in a class.
SELECT
    {% for name, value in published.items() %}
        {{ value | identifier }} AS {{ name | identifier }}{% if not loop.last %},{% endif %}
    {% endfor %}
FROM {{ rows }}
WHERE class IS NOT NULL
