-- The current record of every key, resolved and tagged; columns as CLASSIFIED in
-- pipeline/storage/schema.py. person and manager are namespaced raw identifiers. The date of an
-- instant that has none so far is the one in the calendar of the region.
SELECT
    r.record_key,
    r.deliveries,
    r.first_seen,
    p.left_on,
    p.learner_id IS NOT NULL AS on_roster,
    coalesce(a.person, r.learner_id) AS person,
    coalesce(p.manager_id, r.manager_id) AS manager,
    r.record_type,
    r.source,
    coalesce(g.home_region, r.region) AS region,
    d.department,
    r.course_code,
    c.title AS course_title,
    c.sensitivity,
    c.reviewed,
    coalesce(r.assigned_on, wall_time(r.assigned_at, z.zone)::DATE) AS assigned_on,
    r.assigned_at,
    coalesce(r.started_on, wall_time(r.started_at, z.zone)::DATE) AS started_on,
    r.started_at,
    coalesce(r.event_on, wall_time(r.event_at, z.zone)::DATE) AS event_on,
    r.event_at,
    coalesce(r.due_on, wall_time(r.due_at, z.zone)::DATE) AS due_on,
    r.due_at,
    r.event_zone,
    r.status,
    r.score,
    r.attempts,
    r.has_comment
FROM ({{ current }}) AS r
INNER JOIN {{ course }} AS c ON r.course_code = c.course_code
LEFT JOIN {{ alias }} AS a ON r.learner_id = a.alias
LEFT JOIN {{ people }} AS p ON p.learner_id = coalesce(a.person, r.learner_id)
LEFT JOIN {{ region_of }} AS g ON g.country = coalesce(p.country, r.country)
LEFT JOIN {{ calendar }} AS z ON z.region = coalesce(g.home_region, r.region, '')
LEFT JOIN {{ department }} AS d ON d.department = coalesce(p.department, r.department)
