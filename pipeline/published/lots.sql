-- The rows as far as lots need them. outcome: what managers know of a row; whether a training was
-- waived or completed is none of it. scored: does anybody have a score in this course? People and
-- teams are 64-bit hashes: two that collide make a lot seem smaller, never larger.
WITH courses AS (
    SELECT
        period,
        record_type,
        course_code,
        bool_or(score_band <> 'unscored') AS scored
    FROM {{ rows }}
    GROUP BY ALL
)

SELECT
    originals.record_key,
    hash(originals.person) AS person,
    CASE WHEN originals.team IS NOT NULL THEN hash(originals.team) END AS team,
    originals.period,
    originals.record_type,
    originals.category,
    originals.course_code,
    originals.region,
    originals.department,
    originals.status,
    originals.score_band,
    originals.tries,
    CASE
        WHEN originals.status = 'waived' THEN 'completed' ELSE originals.status
    END AS outcome,
    courses.scored,
    coalesce(originals.status = 'failed' OR originals.score_band <> 'low', TRUE) AS not_adverse,
    NULL::UBIGINT AS lot
FROM {{ rows }} AS originals
INNER JOIN courses
    ON
        originals.period = courses.period
        AND originals.record_type = courses.record_type
        AND originals.course_code = courses.course_code
