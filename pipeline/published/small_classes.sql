-- Classes that may not be published: too few people, or too few with a row that is not adverse.
SELECT number
FROM {{ people }}
GROUP BY number
HAVING
    count(*) < {{ k | literal }}
    OR count(*) FILTER (WHERE not_adverse) < {{ minimum_not_adverse | literal }}
