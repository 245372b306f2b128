-- Classified rows that an audience does not get, by the first reason for it.
SELECT
    withheld AS reason,
    count(*) AS records
FROM {{ rows }}
WHERE withheld IS NOT NULL
GROUP BY withheld
ORDER BY withheld
