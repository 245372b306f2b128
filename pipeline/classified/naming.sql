-- The course titles and departments that name or number a known person. Column: text.
SELECT DISTINCT g.text
FROM ({{ grams }}) AS g
WHERE g.gram IN (SELECT d.entry FROM {{ denylist }} AS d)
