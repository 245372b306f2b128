-- The person that an alias means; an address that two employees share means neither.
-- Columns: alias, person (namespaced raw identifiers).
SELECT
    a.alias,
    any_value(a.person) AS person
FROM (
    SELECT
        'mbox:mailto:' || p.email AS alias,
        p.learner_id AS person
    FROM {{ people }} AS p
    WHERE p.email IS NOT NULL
    UNION ALL
    SELECT
        'sha1:' || sha1('mailto:' || p.email) AS alias,
        p.learner_id AS person
    FROM {{ people }} AS p
    WHERE p.email IS NOT NULL
    UNION ALL
    SELECT DISTINCT
        r.learner_id AS alias,
        p.learner_id AS person
    FROM {{ rows }} AS r
    INNER JOIN {{ people }} AS p
        ON p.learner_id = 'emp:' || split_part(r.learner_id, '#', -1)
    WHERE starts_with(r.learner_id, 'acct:')
) AS a
GROUP BY a.alias
HAVING count(DISTINCT a.person) = 1
