-- NVIDIA Dynamo request trace
-- `dynamo.request.trace.v1`, as DYN_REQUEST_TRACE=1 writes it; events of tools and payloads are left out. The hashes
-- of a prompt's blocks roll over what comes before them, so equal hashes are equal prefixes.
-- reads: jsonl
-- arrival: request_received_ms, when the frontend received the request
-- failures: finish_reason is error, cancelled or content_filter
-- needs: request_tokens response_tokens
-- holds: session elapsed_s cached_tokens ttft_s reason prefix
-- block_tokens: request.replay.trace_block_size
-- like: schema ^dynamo\.request\.trace\.
-- column: event_type VARCHAR
-- column: event_time_unix_ms STAMP_MS
-- optional: request.request_received_ms STAMP_MS
-- optional: request.total_time_ms DOUBLE
-- optional: request.ttft_ms DOUBLE
-- optional: request.model VARCHAR
-- optional: request.input_tokens DOUBLE
-- optional: request.output_tokens DOUBLE
-- optional: request.cached_tokens DOUBLE
-- optional: request.replay.input_length DOUBLE
-- optional: request.replay.input_sequence_hashes BLOCKS
-- optional: request.finish_reason_metadata.finish_reason VARCHAR
-- optional: request.finish_reason_metadata.backend_finish_reason VARCHAR
-- optional: agent_context.session_id VARCHAR
-- optional: agent_context.trajectory_id VARCHAR
WITH requests AS (
    SELECT
        *,
        COALESCE("request.request_received_ms", "event_time_unix_ms" - "request.total_time_ms" / 1000) AS received_s,
        CASE
            WHEN
                REGEXP_MATCHES(
                    "request.finish_reason_metadata.backend_finish_reason", '^(error|cancel|abort|content_filter)'
                )
                THEN "request.finish_reason_metadata.backend_finish_reason"
            WHEN
                REGEXP_MATCHES(
                    "request.finish_reason_metadata.finish_reason", '^(error|cancel|abort|content_filter)'
                )
                THEN "request.finish_reason_metadata.finish_reason"
        END AS cause
    FROM log
    WHERE "event_type" IS NULL OR "event_type" = 'request_end'
)

SELECT
    line_no,
    received_s AS arrival_s,
    $service AS service,
    "request.model" AS model,
    COALESCE("agent_context.session_id", "agent_context.trajectory_id") AS session,
    COALESCE("request.input_tokens", "request.replay.input_length") AS request_tokens,
    "request.output_tokens" AS response_tokens,
    COALESCE("request.total_time_ms" / 1000, "event_time_unix_ms" - received_s) AS elapsed_s,
    cause IS NOT NULL AS failed,
    "request.cached_tokens" AS cached_tokens,
    "request.ttft_ms" / 1000 AS ttft_s,
    cause AS reason,
    "request.replay.input_sequence_hashes" AS prefix
FROM requests
