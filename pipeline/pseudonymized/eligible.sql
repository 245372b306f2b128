-- Classified rows with one more column: why the audience may not see the row; NULL if it may.
-- A test that has no answer keeps the row back, and so does every test that an audience is not
-- excepted from by name.
SELECT
    r.*,
    CASE
        WHEN coalesce(r.due, TRUE)
            THEN 'past retention, or within two days of it'
        WHEN
            NOT coalesce(r.person NOT IN (
                SELECT w.person
                FROM {{ restrictions }} AS w
                WHERE w.audience = {{ audience | literal }} AND w.person IS NOT NULL
            ), FALSE)
            THEN 'restricted, objected, or no consent'
        WHEN r.set_aside IS NOT NULL
            THEN r.set_aside
        WHEN
            r.region IN (
                SELECT w.region
                FROM {{ restrictions }} AS w
                WHERE w.audience = {{ audience | literal }} AND w.region IS NOT NULL
            )
            THEN 'country unknown'
        WHEN
            {{ audience | literal }} NOT IN ('hr_legal')
            AND NOT coalesce(r.reviewed, FALSE)
            THEN 'course not reviewed'
        WHEN
            {{ audience | literal }} NOT IN ('hr_legal')
            AND r.sensitivity IS NOT NULL
            THEN 'sensitive course'
        WHEN
            {{ audience | literal }} NOT IN ('hr_legal')
            AND NOT coalesce(r.record_type IN ('milestone_flag', 'assessment_record'), FALSE)
            THEN 'message'
        WHEN
            {{ audience | literal }} NOT IN ('coaching', 'analytics', 'hr_legal')
            AND r.manager IS NULL
            THEN 'no manager'
    END AS withheld
FROM {{ rows }} AS r
