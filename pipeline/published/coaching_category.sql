-- Per category of courses and period, with score bands.
WITH categories AS (
    SELECT DISTINCT
        period,
        category_number,
        category
    FROM {{ courses }}
)

SELECT
    figures.period,
    categories.category,
    figures.learners,
    figures.records,
    figures.completion_rate,
    figures.on_time_rate,
    figures.median_days,
    figures.share_low,
    figures.share_mid,
    figures.share_high,
    figures.share_unscored
FROM {{ figures }} AS figures
INNER JOIN categories
    ON
        figures.period = categories.period
        AND figures.category_number = categories.category_number
