-- The whole company, per period.
SELECT
    figures.period,
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
