-- Corrections at the request of a person (GDPR Art. 16) that the source has overtaken: a later
-- delivery has another value than the wrong one that was corrected. Until then a correction holds,
-- however often the source repeats the wrong value.
-- Columns: rank and the key of the record, agrees (does the source say what was corrected?).
SELECT
    c.rank,
    c.source,
    c.person,
    c.course_code,
    c.record_type,
    c.occurrence,
    bool_or({{ corrected_values }} = {{ delivered_values }}) AS agrees
FROM {{ rows }} AS c
INNER JOIN {{ rows }} AS s
    ON {{ same_key }} AND c.delivery_date < s.delivery_date
WHERE
    c.rank = {{ corrected }}
    AND s.rank <> {{ corrected }}
    AND split_part(c.raw, ' ', 1) <> {{ delivered_values }}
GROUP BY ALL
