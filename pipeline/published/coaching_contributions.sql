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
    count(*) FILTER (WHERE score_band = 'low') AS low
FROM {{ rows }}
GROUP BY period, team, course, person
