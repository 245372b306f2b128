-- One row per combination and person; not_adverse: has the person a row there that is not adverse?
-- People are 64-bit hashes: two that collide make a class seem smaller, never larger.
SELECT
    combinations.number,
    hash(originals.person) AS person,
    any_value(hash(originals.team)) FILTER (originals.team IS NOT NULL) AS team,
    bool_or(
        (originals.status = 'failed' OR originals.score_band = 'low') IS NOT TRUE
    ) AS not_adverse
FROM {{ rows }} AS originals
INNER JOIN {{ combinations }} AS combinations ON {{ same_combination }}
GROUP BY combinations.number, hash(originals.person)
