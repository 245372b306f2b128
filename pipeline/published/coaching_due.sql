-- Coaching's pseudonymized rows of the periods that are published now; period is its first day.
SELECT
    date_trunc({{ unit | literal }}, period)::DATE AS period,
    learner_ref,
    department,
    team_ref,
    course_code,
    complete,
    on_time,
    days,
    score_band
FROM {{ rows }}
WHERE date_trunc({{ unit | literal }}, period)::DATE IN ({{ periods | literals }})
