-- Vidur
-- Traces with arrivals of microsoft/vidur and simulators that read them: seconds since the start.
-- reads: csv
-- arrival: arrived_at
-- needs: request_tokens response_tokens
-- holds: session
-- column: arrived_at STAMP_S
-- column: num_prefill_tokens DOUBLE
-- column: num_decode_tokens DOUBLE
-- optional: session_id VARCHAR
SELECT
    "arrived_at" AS arrival_s,
    $service AS service,
    CAST(NULL AS VARCHAR) AS model,
    NULLIF("session_id", '') AS session,
    "num_prefill_tokens" AS request_tokens,
    "num_decode_tokens" AS response_tokens,
    FALSE AS failed
FROM log
