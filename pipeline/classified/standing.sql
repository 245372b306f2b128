-- The rows that are not voided, neither by their own status nor by a statement about their record;
-- without corrections that the source has overtaken, or whose record is in no delivery any more.
SELECT r.*
FROM {{ rows }} AS r
LEFT JOIN (
    SELECT * EXCLUDE (agrees) FROM ({{ overtaken }})
    {% if left_behind %}
        UNION ALL
        FROM ({{ left_behind }})
    {% endif %}
) AS o
    ON
        r.rank = o.rank
        AND r.source = o.source
        AND r.person = o.person
        AND r.course_code = o.course_code
        AND r.record_type = o.record_type
        AND r.occurrence = o.occurrence
WHERE
    o.rank IS NULL
    AND NOT (
        r.status = 'voided'
        OR (
            r.record_id IS NOT NULL
            AND (r.source, r.record_id) IN (
                SELECT (v.source, v.record_id)
                FROM {{ every_row }} AS v
                WHERE v.status = 'voided'
            )
        )
    )
