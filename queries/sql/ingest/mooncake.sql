-- Mooncake
-- The traces of kvcache-ai/Mooncake: milliseconds since an unknown start, one JSON object per line.
-- `hash_ids` are the prefix blocks of 512 tokens (the last may be shorter); blocks with equal numbers have equal tokens.
-- reads: jsonl
-- needs: request_tokens response_tokens
-- holds: prefix
-- block_tokens: 512
-- column: timestamp DOUBLE
-- column: input_length DOUBLE
-- column: output_length DOUBLE
-- optional: hash_ids BLOCKS
SELECT
    "timestamp" / 1000.0 AS arrival_s,
    $service AS service,
    CAST(NULL AS VARCHAR) AS model,
    CAST(NULL AS VARCHAR) AS session,
    "input_length" AS request_tokens,
    "output_length" AS response_tokens,
    CAST(NULL AS DOUBLE) AS elapsed_s,
    FALSE AS failed,
    "hash_ids" AS prefix
FROM log
