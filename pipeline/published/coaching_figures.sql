-- The figures of one table for its chosen cells in one period, under the cells' numbers.
--
-- learners          distinct people
-- completion_rate   share of records, 0..1
-- on_time_rate      share of the records with a due date, 0..1
-- median_days       from assignment to completion, whole days
-- share_<band>      share of records in each score band, 0..1
--
-- Of the last three kinds, those are set NULL afterwards that rest on too few people.
SELECT
    {{ key | identifiers }},
    {% for band in bands %}
        (count(*) FILTER (WHERE records.score_band = {{ band | literal }}) / count(*))::DOUBLE
            AS {{ ("share_" ~ band) | identifier }},
    {% endfor %}
    count(DISTINCT records.person) AS learners,
    count(records.person) AS records,
    avg(records.complete::DOUBLE) AS completion_rate,
    avg(records.on_time::DOUBLE) AS on_time_rate,
    round(median(records.days)) AS median_days
FROM {{ rows }} AS records
SEMI JOIN {{ cells }} ON {{ same_cell }}
WHERE records.period = {{ period | literal }}
GROUP BY {{ key | identifiers }}
