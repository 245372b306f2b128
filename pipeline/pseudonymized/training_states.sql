-- The current state of every person's courses, by the rule that `training_state` in data_map.yaml
-- states; one row per person and course. Columns: record_key (of the record that stands for the
-- course), manager, state (NULL: withdrawn, so that there is nothing to show), outcome.
WITH expiry AS (
    -- The latest day of a completion that has expired; of several patterns the shortest validity
    -- holds.
    SELECT
        c.course_code,
        c.region,
        max(v.expired_on) AS expired_on
    FROM (
        SELECT DISTINCT
            course_code,
            region
        FROM {{ rows }}
    ) AS c
    INNER JOIN (VALUES {{ recurring | tuples }}) AS v (pattern, region, expired_on)
        ON
            lower(c.course_code) LIKE v.pattern ESCAPE '\'
            AND CASE
                WHEN c.region IN ({{ regions | literals }}) THEN c.region
                ELSE {{ other | literal }}
            END = v.region
    GROUP BY c.course_code, c.region
),

dated AS (
    SELECT
        r.record_key,
        r.person,
        r.course_code,
        r.manager,
        r.status,
        r.assigned_on,
        r.started_on,
        r.event_on,
        r.due_on,
        coalesce(r.event_on, r.started_on, r.assigned_on, DATE '0001-01-01') AS active_on,
        is_complete(r.status) AS complete,
        r.status = 'withdrawn' AS left_off,
        is_complete(r.status)
        AND coalesce(
            coalesce(r.event_on, r.started_on, r.assigned_on) <= e.expired_on, FALSE
        ) AS expired,
        coalesce(t.today, {{ today | literal }}) AS today
    FROM {{ rows }} AS r
    LEFT JOIN (VALUES {{ days | tuples }}) AS t (region, today) ON r.region = t.region
    LEFT JOIN expiry AS e
        ON r.course_code = e.course_code AND r.region IS NOT DISTINCT FROM e.region
),

-- The latest assignment, and the last completion that has expired. An assignment of a day that is
-- still to come holds only where there is no other.
begun AS (
    SELECT
        d.person,
        d.course_code,
        coalesce(
            max(d.assigned_on) FILTER (WHERE d.assigned_on <= d.today), max(d.assigned_on)
        ) AS assigned_on,
        max(d.active_on) FILTER (WHERE d.expired) AS expired_on
    FROM dated AS d
    GROUP BY d.person, d.course_code
),

-- Does a record say how it stands with the latest assignment? Its own does; so does one that no
-- assignment is known of from that day on, and one of an earlier assignment from the day after.
-- What was before the last completion that has expired says nothing any more.
weighed AS (
    SELECT
        d.*,
        b.expired_on,
        coalesce(
            b.assigned_on IS NULL
            OR d.assigned_on = b.assigned_on
            OR (d.assigned_on IS NULL AND d.active_on >= b.assigned_on)
            OR (d.assigned_on < b.assigned_on AND d.event_on > b.assigned_on), FALSE
        )
        AND coalesce(d.active_on > b.expired_on, TRUE) AS counts,
        coalesce(b.expired_on >= b.assigned_on, b.expired_on IS NOT NULL) AS renewal
    FROM dated AS d
    INNER JOIN begun AS b ON d.person = b.person AND d.course_code = b.course_code
),

judged AS (
    SELECT
        w.person,
        w.course_code,
        arg_max(
            w.record_key,
            (
                w.counts AND w.complete,
                w.counts,
                w.complete AND NOT w.expired,
                w.active_on,
                w.record_key
            )
        ) AS record_key,
        bool_or(w.counts AND w.complete) AS done,
        -- On the same day a withdrawal comes last.
        coalesce(
            arg_max(w.left_off, (w.active_on, w.left_off)) FILTER (WHERE w.counts), FALSE
        ) AS withdrawn,
        bool_or(w.complete AND NOT w.expired) AS done_before,
        bool_or(w.renewal) AS renewal,
        max(w.due_on) FILTER (WHERE w.counts AND NOT w.left_off) < min(w.today) AS past_due,
        bool_or(
            w.counts AND (w.status IN ('in_progress', 'failed') OR w.started_on IS NOT NULL)
        ) AS begun,
        bool_or(w.counts AND w.status = 'passed') AS passed,
        bool_or(w.counts AND w.status = 'failed') AS failed,
        bool_or(w.status = 'passed' AND NOT w.expired) AS passed_before
    FROM weighed AS w
    GROUP BY w.person, w.course_code
),

-- Who reports to whom: as the latest of all the person's records has it.
reporting AS (
    SELECT
        d.person,
        arg_max(d.manager, (d.active_on, d.manager)) AS manager
    FROM dated AS d
    GROUP BY d.person
)

SELECT
    j.record_key,
    p.manager,
    CASE
        WHEN j.done THEN 'complete'
        WHEN j.withdrawn AND j.done_before THEN 'complete'
        WHEN j.withdrawn THEN NULL
        WHEN j.renewal OR coalesce(j.past_due, FALSE) THEN 'overdue'
        WHEN j.begun THEN 'in_progress'
        ELSE 'not_started'
    END AS state,
    CASE
        WHEN j.passed THEN 'passed'
        WHEN NOT j.done AND j.withdrawn AND j.passed_before THEN 'passed'
        WHEN j.failed THEN 'failed'
        ELSE 'none'
    END AS outcome
FROM judged AS j
INNER JOIN reporting AS p ON j.person = p.person
