-- What each person contributes to a (team, course) of a period, in numbers of records.
SELECT
    period,
    team,
    course,
    person,
    count(*) AS records,
    count(*) FILTER (WHERE complete) AS complete,
    count(on_time) AS due,
    count(*) FILTER (WHERE on_time) AS on_time,
    count(days) AS timed,
    count(*) FILTER (WHERE score_band <> 'unscored') AS scored,
    count(*) FILTER (WHERE score_band IN ('mid', 'high')) AS not_low
FROM {{ rows }}
GROUP BY period, team, course, person
