-- Mooncake
-- The traces of kvcache-ai/Mooncake: milliseconds since an unknown start, one JSON object a line.
-- `hash_ids`, the 512-token prefix blocks, do not go into the trace.
-- reads: jsonl
-- needs: request_tokens response_tokens
-- column: timestamp DOUBLE
-- column: input_length DOUBLE
-- column: output_length DOUBLE
-- optional: hash_ids UNUSED
SELECT
    "timestamp" / 1000.0 AS arrival_s,
    $service AS service,
    CAST(NULL AS VARCHAR) AS model,
    CAST(NULL AS VARCHAR) AS session,
    "input_length" AS request_tokens,
    "output_length" AS response_tokens,
    CAST(NULL AS DOUBLE) AS elapsed_s,
    FALSE AS failed
FROM log
