-- The texts that may name somebody. Column: text.
SELECT course_title AS text
FROM {{ titles }}
UNION
SELECT department AS text
FROM {{ people }}
UNION
SELECT department AS text
FROM {{ learners }}
