-- Response lengths by request length; request lengths in cells of equal width in log tokens: FLOOR(k · ln tokens).
SELECT
    stream_id,
    CAST(FLOOR($cells_per_e * LN(request_tokens)) AS SMALLINT) AS request_cell,
    response_tokens,
    COUNT(*) AS n,
    SUM(CAST(request_tokens AS DOUBLE)) AS request_sum
FROM requests
WHERE NOT failed AND request_tokens > 0 AND response_tokens > 0
GROUP BY stream_id, CAST(FLOOR($cells_per_e * LN(request_tokens)) AS SMALLINT), response_tokens
