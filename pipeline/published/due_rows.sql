-- The records of the row history that are to be erased: those past their window, and those of the
-- classes that have one.
SELECT record_key
FROM (
    SELECT
        record_key,
        coalesce(due, TRUE) AS due,
        class IS NOT NULL AND bool_or(coalesce(due, TRUE)) OVER (PARTITION BY class) AS with_class
    FROM {{ history }}
)
WHERE due OR with_class
