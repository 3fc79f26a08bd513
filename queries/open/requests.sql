-- One row a request, in arrival order, with small integers for its stream and for its stamp.
SELECT
    streams.stream_id,
    CAST(FLOOR(trace.arrival_s / $resolution_s + 1e-6) AS BIGINT) AS tick,
    trace.arrival_s,
    trace.session,
    trace.request_tokens,
    trace.response_tokens,
    trace.elapsed_s,
    trace.failed
FROM trace
JOIN streams
    ON trace.service = streams.service
    AND (trace.model = streams.model OR (trace.model IS NULL AND streams.model IS NULL))
ORDER BY trace.arrival_s
