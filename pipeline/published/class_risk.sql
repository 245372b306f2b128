-- Risk of a table in classes. everyone: people in the store who could be in a class, by as much of
-- region and department as its rows have kept.
SELECT
    count(*) AS classes,
    coalesce(sum(classes.size), 0)::BIGINT AS rows,
    min(classes.people) AS k,
    min(classes.outcomes) AS l,
    coalesce(max(1 / classes.people), 0) AS prosecutor,
    coalesce(sum(classes.size / classes.people) / sum(classes.size), 0) AS prosecutor_mean,
    coalesce(max(1 / everyone.people), 0) AS journalist,
    coalesce(sum(classes.size / everyone.people) / sum(classes.size), 0) AS marketer
FROM {{ classes }} AS classes
INNER JOIN {{ everyone }} AS everyone
    ON
        everyone.any_region
        = coalesce(classes.detail IN ({{ without_region | literals }}), FALSE)::INT
        AND everyone.any_department
        = coalesce(classes.detail IN ({{ without_department | literals }}), FALSE)::INT
        AND classes.region IS NOT DISTINCT FROM everyone.region
        AND classes.department IS NOT DISTINCT FROM everyone.department
