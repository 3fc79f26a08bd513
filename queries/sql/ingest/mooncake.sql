-- Mooncake
-- The traces of kvcache-ai/Mooncake and logs of their form: milliseconds since an unknown start or since 1970, or dates;
-- one JSON object a line. `hash_ids` are the prefix blocks of 512 tokens, the last one perhaps shorter; equal ids,
-- equal tokens, whether they are numbers or text. Turns that have a delay instead of a timestamp have no arrival, and
-- are rejects.
-- reads: jsonl
-- arrival: timestamp
-- needs: request_tokens response_tokens
-- holds: session prefix
-- block_tokens: 512
-- not: chat_id parent_chat_id turn hash_ids.user_input hash_ids.sys_prompt
-- column: timestamp STAMP_MS
-- column: input_length DOUBLE
-- column: output_length DOUBLE
-- optional: session_id VARCHAR
-- optional: model VARCHAR
-- optional: hash_ids BLOCKS
SELECT
    "timestamp" AS arrival_s,
    $service AS service,
    "model" AS model,
    "session_id" AS session,
    "input_length" AS request_tokens,
    "output_length" AS response_tokens,
    FALSE AS failed,
    "hash_ids" AS prefix
FROM log
