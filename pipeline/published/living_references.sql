-- Pseudonyms of the people whom a classified row still names.
SELECT
    refs.person,
    refs.ref
FROM {{ refs }} AS refs
SEMI JOIN {{ people }} AS people ON refs.person = people.person
