-- SwissAI serving trace
-- eth-easl/swissai-serving-trace: the files trace.jsonl and *-buckets.jsonl. A count of -1 means that none was reported;
-- such requests stay, without counts. The prompt's blocks of 16 tokens are in the files with buckets.
-- reads: jsonl
-- arrival: created_at
-- failures: status is ERROR
-- holds: elapsed_s reason prefix
-- block_tokens: 16
-- column: created_at STAMP_S
-- column: status VARCHAR
-- column: model VARCHAR
-- column: reported_token_input DOUBLE
-- column: reported_token_output DOUBLE
-- optional: finished_at STAMP_S
-- optional: token_count DOUBLE
-- optional: bucket_ids BLOCKS
SELECT
    "created_at" AS arrival_s,
    $service AS service,
    "model" AS model,
    COALESCE(NULLIF("reported_token_input", -1), "token_count") AS request_tokens,
    NULLIF("reported_token_output", -1) AS response_tokens,
    "finished_at" - "created_at" AS elapsed_s,
    COALESCE("status" = 'ERROR', FALSE) AS failed,
    CASE WHEN "status" = 'ERROR' THEN 'error' END AS reason,
    "bucket_ids" AS prefix
FROM log
