-- Analysts' rows: each with the quasi-identifiers of its class, as far as these were generalized.
-- Sorted by the columns themselves, so that the order of the rows does not give away their months.
SELECT {{ columns | identifiers }}
FROM (
    SELECT
        originals.learner_ref,
        originals.status,
        originals.score_band,
        {% for name in kept %}
            originals.{{ name | identifier }},
        {% endfor %}
        classes.generalized_record_type AS record_type,
        classes.generalized_source AS source,
        classes.generalized_region AS region,
        classes.generalized_department AS department,
        classes.generalized_category AS category,
        classes.generalized_course_code AS course_code,
        classes.generalized_event_period AS event_period,
        classes.generalized_detail AS detail
    FROM {{ rows }} AS originals
    INNER JOIN {{ classes }} AS classes
        ON {{ same_key }}
)
ORDER BY {{ columns | identifiers }}
