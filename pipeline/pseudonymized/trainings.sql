-- Rows as eligible.sql has them, with the current state of the training where a record stands for
-- it; the others are withheld. Whose report somebody is, the latest of all records says.
SELECT
    e.* REPLACE (
        s.manager AS manager,
        CASE
            WHEN e.withheld IS NOT NULL THEN e.withheld
            WHEN s.record_key IS NULL THEN {{ behind | literal }}
            WHEN s.state IS NULL THEN {{ withdrawn | literal }}
        END AS withheld
    ),
    s.state,
    s.outcome
FROM {{ rows }} AS e
LEFT JOIN {{ states }} AS s ON e.record_key = s.record_key
