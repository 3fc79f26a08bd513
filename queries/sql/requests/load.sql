-- Requests to replay, of the streams and the half-open span of time asked for: in order of arrival, and those of
-- one arrival in the order of the log.
SELECT
    stream_id,
    arrival_s,
    session,
    request_tokens,
    response_tokens,
    elapsed_s,
    failed,
    prefix
FROM requests
WHERE
    list_contains(CAST($streams AS INTEGER[]), stream_id)
    AND ($start_s IS NULL OR arrival_s >= $start_s)
    AND ($end_s IS NULL OR arrival_s < $end_s)
ORDER BY arrival_order
LIMIT $first
