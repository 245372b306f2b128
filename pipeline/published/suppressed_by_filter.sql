-- Classified rows that an audience does not get, by the first filter that leaves them out.
SELECT
    reason,
    count(*) AS records
FROM (
    SELECT
        CASE
            {% for reason, test in filters.items() %}
            WHEN NOT coalesce({{ test }}, FALSE) THEN {{ reason | literal }}
            {% endfor %}
        END AS reason
    FROM {{ rows }}
)
WHERE reason IS NOT NULL
GROUP BY reason
ORDER BY reason
