-- burstlens trace
-- Our own columns: a canonical Parquet file, or any log with a mapping to them.
-- reads: csv jsonl parquet
-- holds: session elapsed_s client cached_tokens reasoning_tokens ttft_s reason images prefix
-- column: arrival_s DOUBLE
-- optional: service VARCHAR
-- optional: model VARCHAR
-- optional: session VARCHAR
-- optional: request_tokens DOUBLE
-- optional: response_tokens DOUBLE
-- optional: elapsed_s DOUBLE
-- optional: failed BOOLEAN
-- optional: client VARCHAR
-- optional: cached_tokens DOUBLE
-- optional: reasoning_tokens DOUBLE
-- optional: ttft_s DOUBLE
-- optional: reason VARCHAR
-- optional: images DOUBLE
-- optional: prefix BLOCKS
SELECT
    "arrival_s" AS arrival_s,
    COALESCE("service", $service) AS service,
    "model" AS model,
    "session" AS session,
    "request_tokens" AS request_tokens,
    "response_tokens" AS response_tokens,
    "elapsed_s" AS elapsed_s,
    COALESCE("failed", FALSE) AS failed,
    "client" AS client,
    "cached_tokens" AS cached_tokens,
    "reasoning_tokens" AS reasoning_tokens,
    "ttft_s" AS ttft_s,
    "reason" AS reason,
    "images" AS images,
    "prefix" AS prefix
FROM log
