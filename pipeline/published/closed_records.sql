-- The records of the periods that are published now: the audience's columns, period as its first
-- day, and beside them what never leaves: whose record it is, in which team, and its dates.
SELECT
    facts.record_key,
    facts.person,
    facts.manager AS team,
    coalesce(facts.event_on, facts.assigned_on) AS day,
    facts.event_on,
    facts.started_on,
    facts.assigned_on,
    facts.first_seen,
    facts.left_on,
    facts.on_roster,
    {% for name in columns %}
        shown.{{ name | identifier }},
    {% endfor %}
    date_trunc({{ unit | literal }}, shown.period)::DATE AS period
FROM {{ facts }} AS facts
INNER JOIN ({{ shown }}) AS shown ON facts.record_key::VARCHAR = shown.learner_ref
