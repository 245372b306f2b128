-- Figures that stay published as they are. Left out are periods past retention and courses that are
-- sensitive by now.
SELECT {{ columns | identifiers }}
FROM {{ history }}
WHERE
    period > {{ last_expired | literal }}
    {% if by_course %}
        AND (
            course_code IN ({{ sensitive_codes | literals }})
            {% for pattern in sensitive_patterns %}
                OR regexp_matches(course_code, {{ pattern | literal }})
            {% endfor %}
        ) IS NOT TRUE
    {% endif %}
