-- GuideLLM replay
-- Traces that GuideLLM replays: the names of Mooncake's, but seconds. Where a file fits both, burstlens asks.
-- reads: jsonl
-- arrival: timestamp
-- needs: request_tokens response_tokens
-- not: hash_ids chat_id parent_chat_id turn session_id
-- column: timestamp STAMP_S
-- column: input_length DOUBLE
-- column: output_length DOUBLE
SELECT
    "timestamp" AS arrival_s,
    $service AS service,
    CAST(NULL AS VARCHAR) AS model,
    "input_length" AS request_tokens,
    "output_length" AS response_tokens,
    FALSE AS failed
FROM log
