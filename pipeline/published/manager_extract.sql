-- Each manager's reports. Sorted by the columns themselves, so that the order of the rows does not
-- give away the months they are from.
SELECT {{ columns | identifiers }}
FROM {{ rows }}
ORDER BY {{ columns | identifiers }}
