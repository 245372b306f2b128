-- Classified rows with one more column: is the record past its window? A record type without a rule
-- has no answer (NULL).
SELECT
    r.*,
    CASE c.clock
        WHEN 'completion'
            THEN is_over(
                known_start(r.event_at, r.started_at, r.assigned_at),
                r.first_seen, c.own_instant, c.own_day
            )
        WHEN 'last_activity'
            THEN is_over(
                greatest(r.event_at, r.started_at, r.assigned_at),
                r.first_seen, c.own_instant, c.own_day
            )
        WHEN 'termination'
            THEN CASE
                WHEN r.left_on IS NOT NULL THEN r.left_on <= c.own_day
                WHEN r.on_roster THEN FALSE
                ELSE is_over(
                    known_start(r.event_at, r.started_at, r.assigned_at),
                    r.first_seen, c.own_instant, c.own_day
                )
            END
            OR is_over(
                known_start(r.event_at, r.started_at, r.assigned_at),
                r.first_seen, c.latest_instant, c.latest_day
            )
    END
    OR coalesce(is_over(
        known_start(r.event_at, r.started_at, r.assigned_at),
        r.first_seen, c.table_instant, c.table_day
    ), FALSE) AS {{ column | identifier }}
FROM {{ rows }} AS r
LEFT JOIN {{ cutoffs }} AS c
    ON
        r.record_type = c.record_type
        AND CASE
            WHEN r.region IN ({{ regions | literals }}) THEN r.region
            ELSE {{ other | literal }}
        END = c.region
