-- The rows as far as lots need them. outcome: what managers know of a row; whether a training was
-- waived or completed is none of it. scored: does anybody have a score in this course? People and
-- teams are 64-bit hashes: two that collide make a lot seem smaller, never larger.
SELECT
    record_key,
    hash(person) AS person,
    CASE WHEN team IS NOT NULL THEN hash(team) END AS team,
    period,
    record_type,
    category,
    course_code,
    region,
    department,
    CASE WHEN status = 'waived' THEN 'completed' ELSE status END AS outcome,
    bool_or(score_band <> 'unscored') OVER (
        PARTITION BY period, record_type, course_code
    ) AS scored,
    coalesce(status = 'failed' OR score_band <> 'low', TRUE) AS not_adverse,
    NULL::UBIGINT AS lot
FROM {{ rows }}
