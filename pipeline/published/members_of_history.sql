-- Whose rows the groups of a history have, and with what outcome.
SELECT
    {{ unit }} AS id,
    person,
    team,
    (published_status = 'failed' OR published_score_band = 'low') IS NOT TRUE AS not_adverse
FROM {{ history }}
WHERE shown AND class IS NOT NULL
