-- Requests, failures and tokens per stream; `with_tokens` requests have both token counts.
SELECT
    stream_id,
    CAST(COUNT(*) AS BIGINT) AS n,
    CAST(SUM(CASE WHEN failed THEN 1 ELSE 0 END) AS BIGINT) AS failed,
    CAST(COALESCE(SUM(CAST(request_tokens AS BIGINT)), 0) AS BIGINT) AS request_tokens,
    CAST(COALESCE(SUM(CAST(response_tokens AS BIGINT)), 0) AS BIGINT) AS response_tokens,
    CAST(
        SUM(CASE WHEN request_tokens IS NOT NULL AND response_tokens IS NOT NULL THEN 1 ELSE 0 END) AS BIGINT
    ) AS with_tokens
FROM requests
GROUP BY stream_id
ORDER BY stream_id
