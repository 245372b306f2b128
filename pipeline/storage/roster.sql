-- Each employee's latest roster row; columns as ROSTER in pipeline/storage/schema.py. Rows of which
-- retention has left number and address only are none.
SELECT h.*
FROM {{ history }} AS h
WHERE
    h.name IS NOT NULL
    OR h.manager_id IS NOT NULL
    OR h.department IS NOT NULL
    OR h.unit IS NOT NULL
    OR h.country IS NOT NULL
    OR h.left_on IS NOT NULL
QUALIFY
    row_number() OVER (
        PARTITION BY h.learner_id
        ORDER BY h.delivery_date DESC, h.email ASC, h.name ASC, h.manager_id ASC
    ) = 1
