-- The addresses of erased people that somebody else has by now, with the first day on which a
-- roster says so. Columns: identifier, until.
WITH listed AS (
    SELECT
        unnest(identifiers_of_address(r.email)) AS identifier,
        coalesce(r.learner_id IN ({{ erased | literals }}), FALSE) AS is_erased,
        r.delivery_date
    FROM {{ rosters }} AS r
    WHERE r.email IS NOT NULL
)

SELECT
    l.identifier,
    min(l.delivery_date)::VARCHAR AS until
FROM listed AS l
INNER JOIN
    (VALUES {{ erased_on | tuples }}) AS e (identifier, erased_on)
    ON l.identifier = e.identifier
WHERE l.delivery_date >= e.erased_on
GROUP BY l.identifier
HAVING NOT bool_or(l.is_erased)
