-- When a record's window is over, per record type and region. What started on a day or before is
-- past retention. Columns: record_type, region, clock; the days of the rule's own window, of the
-- latest end (`at_the_latest`; clock termination only) and of the published tables (NULL where they
-- have no say).
SELECT
    c.record_type,
    c.region,
    c.clock,
    c.own_day::DATE AS own_day,
    c.latest_day::DATE AS latest_day,
    c.table_day::DATE AS table_day
FROM (VALUES {{ rows | tuples }}) AS c (
    record_type, region, clock, own_day, latest_day, table_day
)
