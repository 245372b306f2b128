-- Figures of the publication history that are not past retention.
SELECT {{ columns | identifiers }}
FROM {{ history }}
WHERE period > {{ last_expired | literal }}
