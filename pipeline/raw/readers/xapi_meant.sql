-- What statements mean: the fields, and place (of the verb in the policy's list; NULL: it is not
-- listed), verb_status and verb_type (NULL: not a milestone), is_voiding, is_cmi5, left_out (why a
-- statement is counted only; NULL: it is stored), left_verb (the verb of one that is not listed) and
-- moment.
--
-- Of a cmi5 session only what cmi5 defines says what the session comes to; the rest of it
-- ("cmi5 allowed", section 7.1.3 of the specification) does not.
WITH placed AS (
    SELECT
        f.*,
        coalesce(e.place{% for pattern, place in patterns %},
            CASE WHEN f.key LIKE {{ pattern | literal }} ESCAPE '\' THEN {{ place }} END
            {%- endfor %}) AS place,
        coalesce(contains(f.category, {{ cmi5 | literal }}), FALSE) AS is_cmi5
    FROM (SELECT *, verb_key(verb) AS key FROM {{ fields }}) AS f
    LEFT JOIN (
        SELECT
            unnest([{{ keys | literals }}]::VARCHAR []) AS key,
            unnest([{{ places | literals }}]::INTEGER []) AS place
    ) AS e ON f.key = e.key
),

meant AS (
    SELECT
        *,
        ([{{ statuses | literals }}]::VARCHAR [])[place] AS verb_status,
        ([{{ record_types | literals }}]::VARCHAR [])[place] AS verb_type,
        ([{{ need_result | literals }}]::BOOLEAN [])[place]
        AND completion IS DISTINCT FROM 'true'
        AND success IS NULL AS lacks_result,
        coalesce(key = {{ voided | literal }}, FALSE) AS is_voiding
    FROM placed
)

SELECT
    *,
    CASE
        WHEN key IS NULL OR is_voiding THEN NULL
        WHEN object_type = 'SubStatement' THEN 'sub-statement'
        WHEN object_type = 'StatementRef' THEN 'about another statement'
        WHEN object_type IN ('Agent', 'Group') THEN 'about a person or a group'
        WHEN actor_type = 'Group' OR members IS NOT NULL THEN 'by a group'
        WHEN place IS NULL THEN {{ unknown_verb | literal }}
        WHEN verb_status IS NULL OR lacks_result THEN {{ not_a_milestone | literal }}
        WHEN session IS NOT NULL AND NOT is_cmi5 THEN 'not defined by cmi5'
    END AS left_out,
    -- A name, and no value: what a sender put in the place of a verb could be one.
    CASE
        WHEN left_out IS DISTINCT FROM {{ unknown_verb | literal }} THEN NULL
        WHEN
            regexp_full_match(verb, '[A-Za-z][A-Za-z0-9+.\-]*:[^\s"{}<>]{1,200}')
            AND NOT regexp_matches(verb, {{ value | literal }})
            THEN verb
        ELSE 'an IRI that could be a value, or none'
    END AS left_verb,
    coalesce(timestamp, stored) AS moment
FROM meant
