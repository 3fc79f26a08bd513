-- How many requests name their session.
SELECT COUNT(*) AS n
FROM requests
WHERE session IS NOT NULL
