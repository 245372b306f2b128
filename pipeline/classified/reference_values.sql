-- What the leak checks compare with, as one table, so that it is replaced as one; in the order of
-- kinds, so that one is found quickly.
-- Columns: kind, entry, sensitivity (of courses), people and records (of the kind total).
SELECT
    v.kind,
    v.entry,
    v.sensitivity,
    v.people,
    v.records
FROM (
    SELECT
        'course' AS kind,
        course_code AS entry,
        sensitivity
    FROM {{ sensitivity }}
    UNION ALL BY NAME
    SELECT DISTINCT
        'title' AS kind,
        course_title AS entry
    FROM {{ titles }}
    WHERE course_title IS NOT NULL
    UNION ALL BY NAME
    SELECT
        'category' AS kind,
        unnest([{{ categories | literals }}]) AS entry
    UNION ALL BY NAME
    SELECT
        'department' AS kind,
        department AS entry
    FROM {{ people }}
    WHERE department IS NOT NULL
    GROUP BY department
    HAVING count(DISTINCT person) >= {{ least_people | literal }}
    UNION ALL BY NAME
    SELECT DISTINCT
        'unit' AS kind,
        regexp_replace(trim(unit), '\s+', ' ', 'g') AS entry
    FROM {{ roster }}
    WHERE unit IS NOT NULL
    UNION ALL BY NAME
    SELECT
        'total' AS kind,
        count(DISTINCT person) AS people,
        coalesce(sum(n), 0)::BIGINT AS records
    FROM {{ people }}
    WHERE NOT manages
    UNION ALL BY NAME
    SELECT
        'denylist' AS kind,
        entry
    FROM ({{ denylist }})
) AS v
ORDER BY v.kind
