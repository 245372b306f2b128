-- Per course and period, with score bands.
SELECT
    figures.period,
    courses.category,
    courses.course_code,
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
INNER JOIN {{ courses }} AS courses
    ON figures.period = courses.period AND figures.course = courses.course
