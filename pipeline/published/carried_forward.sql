-- Figures of the publication history that are not past retention; by course, of these courses only.
SELECT {{ columns | identifiers }}
FROM {{ history }}
WHERE
    period > {{ last_expired | literal }}
    {% if by_course %}
        AND course_code IN (FROM {{ courses }})
    {% endif %}
