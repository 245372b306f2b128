-- One row per person, course, record type and period: how it stood last, and how many records there
-- were. A person's team is the last one known in the period.
WITH last_records AS (
    SELECT *
    FROM {{ records }}
    QUALIFY
        row_number() OVER (
            PARTITION BY person, period, course_code, record_type
            ORDER BY day DESC, is_complete(status) DESC, record_key ASC
        ) = 1
),

counts AS (
    SELECT
        person,
        period,
        course_code,
        record_type,
        count(person) AS records
    FROM {{ records }}
    GROUP BY person, period, course_code, record_type
),

teams AS (
    SELECT
        person,
        period,
        arg_max(team, day) AS team
    FROM {{ records }}
    GROUP BY person, period
)

SELECT
    {% for name in columns %}
        last_records.{{ name | identifier }},
    {% endfor %}
    teams.team,
    {{ category_of_course }} AS category,
    least(counts.records, {{ most_tries | literal }})::INTEGER AS tries
FROM last_records
INNER JOIN counts
    ON
        last_records.person = counts.person
        AND last_records.period = counts.period
        AND last_records.course_code = counts.course_code
        AND last_records.record_type = counts.record_type
INNER JOIN teams ON last_records.person = teams.person AND last_records.period = teams.period
