-- RAGPulse
-- The trace of flashserve/RAGPulse: seconds since the start. Its hash_ids are parts of a prompt (system prompt, passages,
-- history), each of a length of its own, so they are not prefix blocks.
-- reads: jsonl
-- arrival: timestamp
-- needs: request_tokens response_tokens
-- holds: session
-- column: timestamp STAMP_S
-- column: input_length DOUBLE
-- column: output_length DOUBLE
-- column: hash_ids.user_input UNUSED
-- optional: session_id VARCHAR
SELECT
    "timestamp" AS arrival_s,
    $service AS service,
    CAST(NULL AS VARCHAR) AS model,
    "session_id" AS session,
    "input_length" AS request_tokens,
    "output_length" AS response_tokens,
    FALSE AS failed
FROM log
