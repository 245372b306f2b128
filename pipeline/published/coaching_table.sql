-- A coaching table: the figures of earlier periods as they were published, and those of new ones.
SELECT {{ columns | identifiers }}
FROM {{ carried_forward }}
UNION ALL
SELECT {{ columns | identifiers }}
FROM ({{ new }})
ORDER BY ALL
