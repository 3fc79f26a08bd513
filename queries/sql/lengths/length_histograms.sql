-- How often each token count occurs, per stream and side (1 request, 2 response), without failures and zeros.
SELECT stream_id, 1 AS side, request_tokens AS tokens, COUNT(*) AS n
FROM requests
WHERE NOT failed AND request_tokens > 0
GROUP BY stream_id, request_tokens
UNION ALL
SELECT stream_id, 2 AS side, response_tokens AS tokens, COUNT(*) AS n
FROM requests
WHERE NOT failed AND response_tokens > 0
GROUP BY stream_id, response_tokens
