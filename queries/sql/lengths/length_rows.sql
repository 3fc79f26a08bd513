-- Requests of each stream, and how many have no length to use: failed ones first, then absent and zero lengths.
SELECT
    stream_id,
    COUNT(*) AS n,
    CAST(SUM(CASE WHEN failed THEN 1 ELSE 0 END) AS BIGINT) AS failed,
    CAST(SUM(CASE WHEN NOT failed AND request_tokens IS NULL THEN 1 ELSE 0 END) AS BIGINT) AS request_absent,
    CAST(SUM(CASE WHEN NOT failed AND response_tokens IS NULL THEN 1 ELSE 0 END) AS BIGINT) AS response_absent,
    CAST(SUM(CASE WHEN NOT failed AND request_tokens < 1 THEN 1 ELSE 0 END) AS BIGINT) AS request_zero,
    CAST(SUM(CASE WHEN NOT failed AND response_tokens < 1 THEN 1 ELSE 0 END) AS BIGINT) AS response_zero
FROM requests
GROUP BY stream_id
ORDER BY stream_id
