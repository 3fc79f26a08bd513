-- Per selection what the optional columns say. Tokens are compared in the requests that have both counts: `cached`
-- of `cached_of` request tokens, `reasoning` of `reasoning_of` response tokens, and in how many requests the part
-- is larger than the whole. Times to the first token are those of requests that did not fail.
SELECT
    members.selection_id,
    CAST(SUM(CASE WHEN requests.request_tokens IS NOT NULL THEN CAST(requests.cached_tokens AS BIGINT) END) AS BIGINT)
        AS cached,
    CAST(SUM(CASE WHEN requests.cached_tokens IS NOT NULL THEN CAST(requests.request_tokens AS BIGINT) END) AS BIGINT)
        AS cached_of,
    CAST(SUM(CASE WHEN requests.cached_tokens > requests.request_tokens THEN 1 ELSE 0 END) AS BIGINT) AS cached_over,
    CAST(
        SUM(CASE WHEN requests.response_tokens IS NOT NULL THEN CAST(requests.reasoning_tokens AS BIGINT) END) AS BIGINT
    ) AS reasoning,
    CAST(
        SUM(CASE WHEN requests.reasoning_tokens IS NOT NULL THEN CAST(requests.response_tokens AS BIGINT) END) AS BIGINT
    ) AS reasoning_of,
    CAST(SUM(CASE WHEN requests.reasoning_tokens > requests.response_tokens THEN 1 ELSE 0 END) AS BIGINT)
        AS reasoning_over,
    CAST(COUNT(CASE WHEN NOT requests.failed THEN requests.ttft_s END) AS BIGINT) AS first_tokens,
    QUANTILE_CONT(CASE WHEN NOT requests.failed THEN requests.ttft_s END, 0.5) AS ttft_p50_s,
    QUANTILE_CONT(CASE WHEN NOT requests.failed THEN requests.ttft_s END, 0.9) AS ttft_p90_s,
    QUANTILE_CONT(CASE WHEN NOT requests.failed THEN requests.ttft_s END, 0.99) AS ttft_p99_s,
    CAST(COUNT(requests.images) AS BIGINT) AS images_of,
    CAST(SUM(CAST(requests.images AS BIGINT)) AS BIGINT) AS images,
    CAST(SUM(CASE WHEN requests.images > 0 THEN 1 ELSE 0 END) AS BIGINT) AS with_images
FROM requests
JOIN members ON members.stream_id = requests.stream_id
GROUP BY members.selection_id
ORDER BY members.selection_id
