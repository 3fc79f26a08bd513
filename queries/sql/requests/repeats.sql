-- Requests with stamp, stream and both lengths of another one: number of such groups, and of requests in them.
SELECT
    stream_id,
    CAST(COUNT(*) AS BIGINT) AS groups,
    CAST(SUM(n) AS BIGINT) AS n
FROM (
    SELECT stream_id, tick, request_tokens, response_tokens, COUNT(*) AS n
    FROM requests
    GROUP BY stream_id, tick, request_tokens, response_tokens
    HAVING COUNT(*) > 1
) AS repeated
GROUP BY stream_id
ORDER BY stream_id
