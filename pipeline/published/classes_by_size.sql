-- Rows by the band in which the number of people of their class lies; the last band is open.
SELECT
    CASE
        {% for top in bands %}
            WHEN people <= {{ top | literal }} THEN {{ loop.index0 | literal }}
        {% endfor %}
        ELSE {{ bands | length | literal }}
    END AS band,
    sum(size)::BIGINT AS rows
FROM {{ classes }}
GROUP BY band
