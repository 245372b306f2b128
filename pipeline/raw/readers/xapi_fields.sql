-- Statements as text to their fields, of which each statement is parsed once. Columns: line,
-- is_statement (is it a JSON object?) and the fields, without the blanks around them; NULL where
-- there is none.
SELECT
    line,
    is_statement,
    {% for name in fields %}
        stripped(parts[{{ loop.index }}])
            AS {{ name | identifier }}{% if not loop.last %},{% endif %}

    {% endfor %}
FROM (
    SELECT
        line,
        is_statement,
        CASE
            WHEN is_statement THEN json_extract_string(line, [{{ fields.values() | literals }}])
        END AS parts
    FROM (
        SELECT
            line,
            CASE WHEN json_valid(line) THEN json_type(line) = 'OBJECT' ELSE FALSE END
                AS is_statement
        FROM {{ lines }}
    )
)
