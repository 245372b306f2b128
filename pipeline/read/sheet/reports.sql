-- Who reports to a manager today and may be shown to them by name. Columns: ref
-- (pseudonym), person (raw identifier), name.
SELECT
    v.ref,
    v.person,
    n.name
FROM {{ pseudonyms }} AS v
INNER JOIN {{ names }} AS n ON v.person = n.person
INNER JOIN {{ roster }} AS r ON v.person = r.learner_id
LEFT JOIN {{ identifiers }} AS m
    ON
        r.manager_id = m.identifier
        AND {{ today | literal }} >= m.valid_from
        AND {{ today | literal }} < m.valid_until
WHERE
    coalesce(m.person, r.manager_id) IN ({{ manager | literals }})
    AND v.person NOT IN ({{ manager | literals }})
    AND coalesce(r.left_on > {{ today | literal }}, TRUE)
    AND v.person NOT IN (
        SELECT w.person
        FROM {{ restrictions }} AS w
        WHERE w.audience = {{ audience | literal }} AND w.person IS NOT NULL
    )
