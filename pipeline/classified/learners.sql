-- Who the learners of the rows are. Columns: person, department (as the rows have them).
SELECT DISTINCT
    person,
    department
FROM {{ rows }}
