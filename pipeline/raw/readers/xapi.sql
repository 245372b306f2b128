-- Statements in canonical columns, with problem, file, left_out and left_verb.
WITH judged AS (
    SELECT
        *,
        CASE
            WHEN is_voiding THEN 'voided'
            WHEN verb_status IS NULL THEN NULL
            -- The result says more than the verb, but what passed, failed and waived say is final.
            WHEN
                verb_status IN ('passed', 'failed', 'waived') OR verb_type = 'communications_log'
                THEN verb_status
            WHEN success = 'true' THEN 'passed'
            WHEN success = 'false' AND completion IS DISTINCT FROM 'false' THEN 'failed'
            WHEN completion = 'true' THEN 'completed'
            WHEN completion = 'false' AND verb_status = 'completed' THEN 'in_progress'
            ELSE verb_status
        END AS status,
        -- What cmi5 says of a learner's registration is one record: passing an exam is part of it.
        CASE
            WHEN is_cmi5 OR is_voiding OR verb_type IS NULL THEN 'milestone_flag' ELSE verb_type
        END AS record_type,
        coalesce(scaled, raw) AS raw_score,
        -- Below zero points is zero per cent.
        CASE
            WHEN scaled IS NOT NULL THEN
                CASE
                    WHEN try_cast(scaled AS DOUBLE) BETWEEN -1 AND 0 THEN 0
                    ELSE 100 * try_cast(scaled AS DOUBLE)
                END
            WHEN coalesce(try_cast(high AS DOUBLE), 100) > coalesce(try_cast(low AS DOUBLE), 0)
                THEN
                    100 * (try_cast(raw AS DOUBLE) - coalesce(try_cast(low AS DOUBLE), 0))
                    / (
                        coalesce(try_cast(high AS DOUBLE), 100)
                        - coalesce(try_cast(low AS DOUBLE), 0)
                    )
        END AS score
    FROM {{ statements }}
),

typed AS (
    SELECT
        *,
        {{ source | literal }} AS source,
        {{ file | literal }} AS file,
        -- Whoever voids a statement is nobody that a record is about.
        CASE
            WHEN NOT is_voiding THEN coalesce(
                'mbox:mailto:' || mail_address(mbox),
                'sha1:' || lower(sha1),
                'openid:' || home_page(openid),
                account_identifier(home_page, account)
            )
        END AS learner_id,
        NULL AS manager_id,
        NULL AS department,
        NULL AS country,
        CASE WHEN NOT is_voiding THEN object_id END AS course_code,
        CASE WHEN json_valid(titles) AND json_type(titles) = 'OBJECT' THEN titles END
            AS course_titles,
        coalesce({{ titles | identifiers }}) AS title,
        {{ moments }},
        NULL::INTEGER AS attempts,
        response IS NOT NULL AS has_comment,
        lower(CASE WHEN is_voiding THEN object_id ELSE id END) AS record_id,
        coalesce(registration, '') AS occurrence,
        NULL AS discarded
    FROM judged
)

SELECT
    *,
    coalesce(title, stripped(json_extract_string(course_titles, '$.*')[1])) AS course_title,
    CASE
        WHEN left_out IS NOT NULL THEN NULL
        WHEN NOT is_statement THEN 'line:not_a_json_object'
        WHEN is_voiding THEN
            CASE
                WHEN object_type IS DISTINCT FROM 'StatementRef' OR record_id IS NULL
                    THEN 'object:not_a_statement_ref'
            END
        WHEN moment IS NULL THEN 'event_at:missing'
        WHEN verb_status = 'passed' AND success = 'false' THEN 'status:contradicts_the_result'
        WHEN verb_status = 'failed' AND success = 'true' THEN 'status:contradicts_the_result'
        ELSE {{ problem }}
    END AS problem,
    CASE
        {% for name, rank in ranks %}
            WHEN status = {{ name | literal }} THEN {{ rank }}
        {% endfor %}
        ELSE 0
    END
    -- In a registration of cmi5 nobody fails any more who has passed.
    + CASE WHEN is_cmi5 AND status = 'passed' THEN 1 ELSE 0 END AS rank,
    coalesce(event_at, event_on) AS revised_at
FROM typed
