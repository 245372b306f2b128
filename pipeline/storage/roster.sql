-- Each employee's latest roster row; columns as ROSTER in pipeline/storage/schema.py.
SELECT h.*
FROM {{ history }} AS h
QUALIFY
    row_number() OVER (
        PARTITION BY h.learner_id
        ORDER BY h.delivery_date DESC, h.email ASC, h.name ASC, h.manager_id ASC
    ) = 1
