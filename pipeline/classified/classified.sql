-- The current record of every key, resolved and tagged; columns as CLASSIFIED in
-- pipeline/storage/schema.py. person and manager are namespaced raw identifiers.
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
    r.assigned_at,
    r.started_at,
    r.event_at,
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
LEFT JOIN {{ department }} AS d ON d.department = coalesce(p.department, r.department)
