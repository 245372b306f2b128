-- The current record of every key, resolved and tagged; columns as CLASSIFIED in
-- pipeline/storage/schema.py. person and manager are namespaced raw identifiers. The date of an
-- instant that has none so far is the one in the calendar of the region.
SELECT
    c.record_key,
    c.deliveries,
    c.first_seen,
    c.left_on,
    c.on_roster,
    c.person,
    c.unresolved,
    CASE
        WHEN c.unresolved IN ({{ set_aside | literals }}) THEN 'identifier ' || c.unresolved
    END AS set_aside,
    c.manager,
    c.record_type,
    c.source,
    coalesce(g.home_region, c.region) AS region,
    d.department,
    c.course_code,
    k.title AS course_title,
    k.sensitivity,
    k.reviewed,
    coalesce(c.assigned_on, wall_time(c.assigned_at, z.zone)::DATE) AS assigned_on,
    c.assigned_at,
    coalesce(c.started_on, wall_time(c.started_at, z.zone)::DATE) AS started_on,
    c.started_at,
    coalesce(c.event_on, wall_time(c.event_at, z.zone)::DATE) AS event_on,
    c.event_at,
    coalesce(c.due_on, wall_time(c.due_at, z.zone)::DATE) AS due_on,
    c.due_at,
    c.event_zone,
    c.status,
    c.score,
    c.attempts,
    c.has_comment
FROM (
    SELECT
        r.* EXCLUDE (department, country),
        p.left_on,
        p.learner_id IS NOT NULL AS on_roster,
        CASE
            WHEN r.doubt IS NOT NULL THEN r.doubt
            -- A student number of the Open University has no roster to be on.
            WHEN r.known OR p.learner_id IS NOT NULL OR starts_with(r.person, 'ou:') THEN NULL
            ELSE {{ unknown | literal }}
        END AS unresolved,
        coalesce(m.person, p.manager_id, r.manager_id) AS manager,
        coalesce(p.country, r.country) AS country,
        coalesce(p.department, r.department) AS department
    FROM ({{ current }}) AS r
    LEFT JOIN {{ people }} AS p ON r.person = p.learner_id
    LEFT JOIN {{ identifiers }} AS m
        ON
            coalesce(p.manager_id, r.manager_id) = m.identifier
            AND r.day >= m.valid_from
            AND r.day < m.valid_until
) AS c
INNER JOIN {{ course }} AS k ON c.course_code = k.course_code
LEFT JOIN {{ region_of }} AS g ON c.country = g.country
LEFT JOIN {{ calendar }} AS z ON coalesce(g.home_region, c.region, '') = z.region
LEFT JOIN {{ department }} AS d ON c.department = d.department
