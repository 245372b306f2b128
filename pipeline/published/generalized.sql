-- Combinations of quasi-identifiers after some steps of generalization, and the class that each is
-- then in. A column generalized_<name> is what is published as <name>.
WITH generalized AS (
    SELECT
        number,
        record_type,
        source,
        region,
        department,
        course_code,
        event_month,
        {% for name in kept %}
            {{ name | identifier }},
        {% endfor %}
        record_type AS generalized_record_type,
        source AS generalized_source,
        CASE WHEN {{ has_region | literal }} THEN region END AS generalized_region,
        CASE WHEN {{ has_department | literal }} THEN department END AS generalized_department,
        CASE WHEN {{ has_category | literal }} THEN {{ category_of_course }} END
            AS generalized_category,
        CASE WHEN {{ has_course | literal }} THEN course_code END AS generalized_course_code,
        CASE
            WHEN {{ has_date | literal }} THEN date_trunc({{ unit | literal }}, event_month)::DATE
        END AS generalized_event_period,
        {{ detail | literal }} AS generalized_detail
    FROM {{ combinations }}
)

SELECT
    *,
    dense_rank() OVER (
        ORDER BY
            generalized_record_type,
            generalized_source,
            generalized_region,
            generalized_department,
            generalized_category,
            generalized_course_code,
            generalized_event_period,
            {% for name in kept %}
                {{ name | identifier }},
            {% endfor %}
            generalized_detail
    ) AS class
FROM generalized
