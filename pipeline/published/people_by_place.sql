-- People by region and department, with and without either. A person has many rows; of few columns
-- few of these are distinct.
SELECT
    region,
    department,
    grouping(region) AS any_region,
    grouping(department) AS any_department,
    count(DISTINCT learner_ref) AS people
FROM (SELECT DISTINCT
    region,
    department,
    learner_ref
FROM {{ rows }})
GROUP BY GROUPING SETS ((region, department), (region), (department), ())
