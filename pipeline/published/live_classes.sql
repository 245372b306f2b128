-- The classes of the row history that may be published now. A class leaves as a whole: when one of
-- its records is past its window or went with the delivery that brought it, one of its people may
-- not be in the table, or one of its courses is not ordinary any more, and when it does not hold
-- any more, by policy or after an erasure. A test without an answer keeps the class back.
SELECT
    period,
    class
FROM {{ history }}
WHERE class IS NOT NULL
GROUP BY period, class
HAVING
    NOT bool_or(coalesce(due, TRUE))
    AND bool_and(
        coalesce(
            person NOT IN (
                SELECT r.person
                FROM {{ restrictions }} AS r
                WHERE r.audience = {{ audience | literal }} AND r.person IS NOT NULL
            )
            AND region NOT IN (
                SELECT r.region
                FROM {{ restrictions }} AS r
                WHERE r.audience = {{ audience | literal }} AND r.region IS NOT NULL
            ),
            FALSE
        )
    )
    {% if withdrawn %}
        AND NOT bool_or(
            first_seen IN ({{ withdrawn | literals }})
            AND record_key NOT IN (SELECT c.record_key FROM {{ classified }} AS c)
        )
    {% endif %}
    AND bool_and(course_code IN (SELECT c.course_code FROM {{ courses }} AS c))
    AND (period, class) IN (SELECT h.id FROM ({{ holding }}) AS h)
