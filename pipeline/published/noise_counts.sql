-- Exact counts in the chosen cells of one table, of at most so many records of a person per period.
-- Every chosen cell has a row, even if no record is counted in it.
WITH counted AS (
    SELECT *
    FROM {{ rows }}
    QUALIFY
        row_number() OVER (
            PARTITION BY period, person ORDER BY hash(course, days, score_band)
        ) <= {{ max_records_per_person | literal }}
),

counts AS (
    SELECT
        {{ key | identifiers }},
        count(*) AS records,
        count(*) FILTER (WHERE complete) AS complete,
        count(on_time) AS due,
        count(*) FILTER (WHERE on_time) AS on_time,
        count(DISTINCT person) AS learners,
        count(*) FILTER (WHERE score_band = 'low') AS low,
        count(*) FILTER (WHERE score_band = 'mid') AS mid,
        count(*) FILTER (WHERE score_band = 'high') AS high,
        count(*) FILTER (WHERE score_band = 'unscored') AS unscored
    FROM counted
    GROUP BY {{ key | identifiers }}
)

SELECT
    {{ key | identifiers }},
    coalesce(counts.records, 0) AS records,
    coalesce(counts.complete, 0) AS complete,
    coalesce(counts.due, 0) AS due,
    coalesce(counts.on_time, 0) AS on_time,
    coalesce(counts.learners, 0) AS learners,
    coalesce(counts.low, 0) AS low,
    coalesce(counts.mid, 0) AS mid,
    coalesce(counts.high, 0) AS high,
    coalesce(counts.unscored, 0) AS unscored
FROM {{ cells }}
LEFT JOIN counts USING ({{ key | identifiers }})  -- noqa: ST07
