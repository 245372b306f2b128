-- Classified rows with one more column: is the record past its window? Windows start on a date of
-- the record or, where it has none, on the day of the delivery that first brought it. A record type
-- without a rule has no answer (NULL).
SELECT
    r.*,
    CASE c.clock
        WHEN 'completion'
            THEN coalesce(
                known_start(r.event_on, r.started_on, r.assigned_on), r.first_seen
            ) <= c.own_day
        WHEN 'last_activity'
            THEN coalesce(
                greatest(r.event_on, r.started_on, r.assigned_on), r.first_seen
            ) <= c.own_day
        WHEN 'termination'
            THEN CASE
                WHEN r.left_on IS NOT NULL THEN r.left_on <= c.own_day
                WHEN r.on_roster THEN FALSE
                ELSE coalesce(
                    known_start(r.event_on, r.started_on, r.assigned_on), r.first_seen
                ) <= c.own_day
            END
            OR coalesce(
                known_start(r.event_on, r.started_on, r.assigned_on), r.first_seen
            ) <= c.latest_day
    END
    OR coalesce(
        coalesce(known_start(r.event_on, r.started_on, r.assigned_on), r.first_seen)
        <= c.table_day, FALSE
    ) AS {{ column | identifier }}
FROM {{ rows }} AS r
LEFT JOIN {{ cutoffs }} AS c
    ON
        r.record_type = c.record_type
        AND CASE
            WHEN r.region IN ({{ regions | literals }}) THEN r.region
            ELSE {{ other | literal }}
        END = c.region
