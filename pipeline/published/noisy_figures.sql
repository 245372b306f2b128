-- Figures computed from counts with noise, within the bounds that everybody knows anyway: no fewer
-- than k people, and no more than there are in all periods.
WITH totals AS (
    SELECT
        count(DISTINCT person) AS learners,
        count(*) AS records
    FROM {{ rows }}
)

SELECT
    {{ key | identifiers }},
    least(greatest(counts.learners, {{ k | literal }}), totals.learners) AS learners,
    least(greatest(counts.records, {{ k | literal }}), totals.records) AS records,
    least(greatest(counts.complete / greatest(counts.records, 1), 0), 1)::DOUBLE AS completion_rate,
    least(greatest(counts.on_time / greatest(counts.due, 1), 0), 1)::DOUBLE AS on_time_rate,
    NULL::DOUBLE AS median_days,
    least(greatest(counts.low / greatest(counts.records, 1), 0), 1)::DOUBLE AS share_low,
    least(greatest(counts.mid / greatest(counts.records, 1), 0), 1)::DOUBLE AS share_mid,
    least(greatest(counts.high / greatest(counts.records, 1), 0), 1)::DOUBLE AS share_high,
    least(greatest(counts.unscored / greatest(counts.records, 1), 0), 1)::DOUBLE AS share_unscored
FROM {{ counts }} AS counts
CROSS JOIN totals
