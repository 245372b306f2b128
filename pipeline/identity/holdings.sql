-- Which employee had which address, and when: a run of the employee's roster rows without another
-- address between them. Rows of one day are one; rows between the first and the last of a run say
-- nothing more, so retention may remove them. An employee without an address has none (NULL) for a
-- time.
-- Columns: person, address, first_seen, last_seen (dates of deliveries), until (of the employee's
-- next roster row, which has another address; NULL if there is none).
SELECT
    r.person,
    r.address,
    min(r.day) AS first_seen,
    max(r.day) AS last_seen,
    last(r.next_day ORDER BY r.day) AS until
FROM (
    SELECT
        s.person,
        s.day,
        s.next_day,
        h.email AS address,
        s.place - row_number() OVER (PARTITION BY s.person, h.email ORDER BY s.day) AS run
    FROM (
        SELECT
            d.person,
            d.day,
            row_number() OVER (PARTITION BY d.person ORDER BY d.day) AS place,
            lead(d.day) OVER (PARTITION BY d.person ORDER BY d.day) AS next_day
        FROM (
            SELECT DISTINCT
                learner_id AS person,
                delivery_date AS day
            FROM {{ history }}
        ) AS d
    ) AS s
    INNER JOIN (
        SELECT DISTINCT
            learner_id,
            delivery_date,
            email
        FROM {{ history }}
    ) AS h ON s.person = h.learner_id AND s.day = h.delivery_date
) AS r
GROUP BY r.person, r.address, r.run
