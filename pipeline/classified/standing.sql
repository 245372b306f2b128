-- The rows that are not voided, neither by their own status nor by a statement about their record.
SELECT r.*
FROM {{ rows }} AS r
WHERE
    NOT (
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
