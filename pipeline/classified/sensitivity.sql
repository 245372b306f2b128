-- How sensitive every course is, as decided by people; deny by default.
-- Columns: course_code; sensitivity: a category, `listed` for a code that the data map lists, or
-- `unreviewed`, and NULL for a course that is decided to be ordinary; reviewed: did anybody decide;
-- suggested: the categories that the words of code and titles suggest.
--
-- A decision about the course itself comes first. That it is ordinary holds as long as its words
-- suggest nothing that they did not suggest then. A pattern of codes makes courses sensitive, or
-- ordinary if nothing is suggested of them.
WITH by_pattern AS (
    SELECT
        s.course_code,
        max(d.category) AS category,
        bool_or(d.category IS NULL) AS ordinary
    FROM {{ suggestions }} AS s
    INNER JOIN {{ decisions }} AS d ON s.course_code LIKE d.scope ESCAPE '\'
    WHERE d.is_pattern
    GROUP BY s.course_code
),

judged AS (
    SELECT
        s.course_code,
        s.categories,
        lower(s.course_code) IN ({{ codes | literals }}) AS listed,
        coalesce(
            d.category IS NOT NULL OR list_has_all(d.suggested, s.categories), FALSE
        ) AS by_itself,
        d.category,
        p.category AS pattern_category,
        coalesce(p.ordinary AND len(s.categories) = 0, FALSE) AS ordinary
    FROM {{ suggestions }} AS s
    LEFT JOIN {{ decisions }} AS d ON s.course_code = d.scope AND NOT d.is_pattern
    LEFT JOIN by_pattern AS p ON s.course_code = p.course_code
)

SELECT
    j.course_code,
    CASE
        WHEN j.listed THEN 'listed'
        WHEN j.by_itself THEN j.category
        WHEN j.pattern_category IS NOT NULL THEN j.pattern_category
        WHEN NOT j.ordinary THEN coalesce(j.categories[1], 'unreviewed')
    END AS sensitivity,
    j.listed OR j.by_itself OR j.pattern_category IS NOT NULL OR j.ordinary AS reviewed,
    j.categories AS suggested
FROM judged AS j
