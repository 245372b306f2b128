-- The current row of every record: the canonical columns, record_key, deliveries (dates of those
-- that hold a revision), first_seen.
--
-- Most keys have a single row, and a window over all of them would sort everything. Only rows whose
-- key's hash occurs again go through the window; a chance collision merely sends two rows of
-- different keys there, where each is the first of its own.
WITH again AS MATERIALIZED (
    SELECT hash({{ key | identifiers }}) AS h
    FROM ({{ standing }})
    GROUP BY h
    HAVING count(*) > 1
)

SELECT
    r.*,
    {{ record_key }} AS record_key,
    [r.delivery_date] AS deliveries,
    r.delivery_date AS first_seen
FROM ({{ standing }}) AS r
WHERE hash({{ key | identifiers }}) NOT IN (SELECT a.h FROM again AS a)
UNION ALL
SELECT
    r.*,
    {{ record_key }} AS record_key,
    list(DISTINCT r.delivery_date) OVER (PARTITION BY {{ key | identifiers }}) AS deliveries,
    min(r.delivery_date) OVER (PARTITION BY {{ key | identifiers }}) AS first_seen
FROM ({{ standing }}) AS r
WHERE hash({{ key | identifiers }}) IN (SELECT a.h FROM again AS a)
-- The most final status is current; within it the latest word. The rest only makes ties
-- deterministic, so it is everything of a row that goes on: one more reading, or another engine,
-- must not choose anew.
QUALIFY
    row_number() OVER (
        PARTITION BY {{ key | identifiers }}
        ORDER BY
            r.rank DESC, r.revised_at DESC, r.delivery_date DESC,
            coalesce(r.event_on, r.event_at::DATE) DESC, r.event_at DESC, r.event_on DESC,
            r.status ASC, r.score ASC, r.assigned_on ASC, r.assigned_at ASC, r.attempts DESC,
            r.has_comment DESC, r.started_on ASC, r.started_at ASC, r.due_on ASC, r.due_at ASC,
            r.event_zone ASC, r.manager_id ASC,
            r.department ASC, r.country ASC, r.region ASC
    ) = 1
