-- Identifiers that cannot be resolved, the most frequent first.
-- Columns: identifier, why, sources, records, first, last (days of the records).
SELECT
    r.person AS identifier,
    string_agg(DISTINCT r.unresolved, ', ' ORDER BY r.unresolved) AS why,
    string_agg(DISTINCT r.source, ', ' ORDER BY r.source) AS sources,
    count(*) AS records,
    min(coalesce(known_start(r.event_on, r.started_on, r.assigned_on), r.first_seen)) AS first,
    max(coalesce(known_start(r.event_on, r.started_on, r.assigned_on), r.first_seen)) AS last
FROM {{ rows }} AS r
WHERE r.unresolved IS NOT NULL
GROUP BY r.person
ORDER BY count(*) DESC, r.person ASC
