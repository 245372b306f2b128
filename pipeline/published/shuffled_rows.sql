-- The rows with the details of another one of their lot: the first one by key gets those of the
-- first one by chance, and so on. Without a lot they are left out, and a training that was waived
-- is one that was completed.
WITH placed AS (
    SELECT
        lots.record_key,
        lots.outcome,
        lots.lot,
        row_number() OVER (PARTITION BY lots.lot ORDER BY lots.record_key) AS place,
        row_number() OVER (
            PARTITION BY lots.lot ORDER BY sha256({{ chance | literal }} || lots.record_key)
        ) AS drawn
    FROM {{ lots }} AS lots
),

details AS (
    SELECT
        placed.lot,
        placed.drawn,
        originals.status,
        originals.score_band,
        originals.tries
    FROM placed
    INNER JOIN {{ rows }} AS originals ON placed.record_key = originals.record_key
    WHERE placed.lot IS NOT NULL
)

SELECT
    originals.* REPLACE (
        coalesce(details.status, placed.outcome) AS status,
        details.score_band AS score_band,
        details.tries AS tries
    ),
    placed.lot,
    sizes.people::INTEGER AS lot_people,
    sizes.not_adverse::INTEGER AS lot_not_adverse
FROM {{ rows }} AS originals
INNER JOIN placed ON originals.record_key = placed.record_key
LEFT JOIN details ON placed.lot = details.lot AND placed.place = details.drawn
LEFT JOIN ({{ sizes }}) AS sizes ON placed.lot = sizes.id
