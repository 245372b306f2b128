-- Every row with its class, and with as much of the quasi-identifiers as is published of it: a
-- column generalized_<name> is what is published as <name>. A row in no class has neither.
SELECT
    originals.*,
    classes.class,
    CASE
        WHEN placement.level IN ({{ shown_at.region | literals }}) THEN originals.region
    END AS generalized_region,
    CASE
        WHEN placement.level IN ({{ shown_at.department | literals }}) THEN originals.department
    END AS generalized_department,
    CASE
        WHEN placement.level IN ({{ shown_at.category | literals }}) THEN originals.category
    END AS generalized_category,
    CASE
        WHEN placement.level IN ({{ shown_at.course_code | literals }}) THEN originals.course_code
    END AS generalized_course_code,
    CASE
        {% for detail in details %}
            WHEN placement.level = {{ loop.index0 | literal }} THEN {{ detail | literal }}
        {% endfor %}
    END AS generalized_detail
FROM {{ rows }} AS originals
INNER JOIN {{ combinations }} AS combinations ON {{ same_combination }}
LEFT JOIN {{ placement }} AS placement ON combinations.number = placement.number
LEFT JOIN {{ classes }} AS classes
    ON combinations.number = classes.number AND placement.level = classes.level
