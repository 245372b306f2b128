-- The rows of the row history that are published: of the live classes, as they were published.
-- Sorted by the columns themselves, so that the order of the rows gives nothing away.
SELECT {{ columns }}
FROM {{ history }} AS history
SEMI JOIN {{ live }} AS live ON history.period = live.period AND history.class = live.class
WHERE history.shown
ORDER BY ALL
