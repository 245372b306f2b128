-- Corrections of records that no delivery in use holds any more: those that held one were
-- withdrawn, or replaced by a delivery without it. It counts again with the first that does.
-- Columns: rank and the key of the record.
SELECT
    c.rank,
    c.source,
    c.person,
    c.course_code,
    c.record_type,
    c.occurrence
FROM {{ rows }} AS c
WHERE
    c.rank = {{ corrected }}
    -- One that an older version made does not say which deliveries held it.
    AND contains(c.raw, ' ')
    AND list_has_all([{{ gone | literals }}], string_split(c.raw, ' ')[2:])
    AND NOT EXISTS (
        SELECT 1 FROM {{ rows }} AS s
        WHERE s.rank <> {{ corrected }} AND {{ same_key }}
    )
