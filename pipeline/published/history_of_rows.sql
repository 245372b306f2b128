-- What the row history keeps of the records of a period: whose they are, in which class, and of the
-- record that a row shows, the published columns, with the details that it drew in its lot.
SELECT
    records.record_key,
    records.person,
    chosen.team,
    records.period,
    records.course_code,
    chosen.class,
    records.record_key = chosen.record_key AS shown,
    records.record_type,
    records.region,
    records.event_on,
    records.started_on,
    records.assigned_on,
    records.first_seen,
    records.left_on,
    records.on_roster,
    {% for name in lot %}
        chosen.{{ name | identifier }},
    {% endfor %}
    {% for name, value in published.items() %}
        CASE
            WHEN records.record_key = chosen.record_key AND chosen.class IS NOT NULL
                THEN chosen.{{ value | identifier }}
        END AS {{ ('published_' ~ name) | identifier }}{% if not loop.last %},{% endif %}
    {% endfor %}
FROM {{ records }} AS records
INNER JOIN {{ chosen }} AS chosen
    ON
        records.person = chosen.person
        AND records.period = chosen.period
        AND records.course_code = chosen.course_code
        AND records.record_type = chosen.record_type
