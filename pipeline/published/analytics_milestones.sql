-- Analysts' rows: each with the quasi-identifiers of its class, as far as these were generalized.
-- Sorted by the columns themselves, so that the order of the rows does not give away their months.
SELECT {{ columns | identifiers }}
FROM (
    SELECT
        originals.learner_ref,
        originals.status,
        originals.score_band,
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
        ON
            originals.record_type IS NOT DISTINCT FROM classes.record_type
            AND originals.source IS NOT DISTINCT FROM classes.source
            AND originals.region IS NOT DISTINCT FROM classes.region
            AND originals.department IS NOT DISTINCT FROM classes.department
            AND originals.course_code IS NOT DISTINCT FROM classes.course_code
            AND originals.event_month IS NOT DISTINCT FROM classes.event_month
)
ORDER BY {{ columns | identifiers }}
