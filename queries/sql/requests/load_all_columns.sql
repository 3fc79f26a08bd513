-- The same as `load`, with the optional columns, which few logs have.
SELECT
    stream_id,
    arrival_s,
    session,
    request_tokens,
    response_tokens,
    elapsed_s,
    failed,
    client,
    cached_tokens,
    reasoning_tokens,
    ttft_s,
    reason,
    images,
    prefix
FROM requests
WHERE
    list_contains(CAST($streams AS INTEGER[]), stream_id)
    AND ($start_s IS NULL OR arrival_s >= $start_s)
    AND ($end_s IS NULL OR arrival_s < $end_s)
ORDER BY arrival_order
LIMIT $first
