-- Individual records for HR and legal, one month at a time, in the order of the pseudonyms.
SELECT {{ columns | identifiers }}
FROM {{ rows }}
{% if not dated %}
ORDER BY {{ columns | identifiers }}
{% endif %}
