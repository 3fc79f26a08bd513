-- Number of requests that have a session.
SELECT COUNT(*) AS n
FROM requests
WHERE session IS NOT NULL
