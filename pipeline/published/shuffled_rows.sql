-- The rows with the details of another one of their lot: each gets those of the one whose place by
-- chance is its own. Without a lot they are left out, and a training that was waived is one that
-- was completed.
WITH placed AS MATERIALIZED (
    SELECT
        *,
        -- An order of its own: without any, it is that of the other numbers, and all keep theirs.
        row_number() OVER (PARTITION BY lot ORDER BY record_key) AS place,
        -- A cryptographic hash, so that nobody can work out the order from what is published.
        row_number() OVER (
            PARTITION BY lot ORDER BY sha256({{ chance | literal }} || record_key)
        ) AS drawn
    FROM {{ lots }}
)

SELECT
    originals.* REPLACE (
        coalesce(details.status, own.outcome) AS status,
        details.score_band AS score_band,
        details.tries AS tries
    ),
    own.lot,
    sizes.people::INTEGER AS lot_people,
    sizes.not_adverse::INTEGER AS lot_not_adverse
FROM {{ rows }} AS originals
INNER JOIN placed AS own ON originals.record_key = own.record_key
LEFT JOIN placed AS details ON own.lot = details.lot AND own.place = details.drawn
LEFT JOIN ({{ sizes }}) AS sizes ON own.lot = sizes.id
