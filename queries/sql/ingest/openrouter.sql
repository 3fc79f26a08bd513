-- OpenRouter activity
-- The CSV of the page Activity or Logs: one row a generation.
-- reads: csv jsonl
-- arrival: created_at
-- failures: cancelled, or finish_reason_normalized is error or content_filter
-- needs: request_tokens response_tokens
-- holds: session elapsed_s client cached_tokens reasoning_tokens ttft_s reason
-- column: generation_id UNUSED
-- column: created_at STAMP_S
-- column: tokens_prompt DOUBLE
-- column: tokens_completion DOUBLE
-- column: model_permaslug VARCHAR
-- optional: tokens_reasoning DOUBLE
-- optional: tokens_cached DOUBLE
-- optional: cancelled BOOLEAN
-- optional: finish_reason_raw VARCHAR
-- optional: finish_reason_normalized VARCHAR
-- optional: generation_time_ms DOUBLE
-- optional: time_to_first_token_ms DOUBLE
-- optional: session_id VARCHAR
-- optional: user VARCHAR
-- optional: api_key_name VARCHAR
SELECT
    "created_at" AS arrival_s,
    $service AS service,
    "model_permaslug" AS model,
    NULLIF("session_id", '') AS session,
    "tokens_prompt" AS request_tokens,
    "tokens_completion" AS response_tokens,
    "generation_time_ms" / 1000 AS elapsed_s,
    COALESCE("cancelled", FALSE) OR COALESCE("finish_reason_normalized" IN ('error', 'content_filter'), FALSE) AS failed,
    COALESCE(NULLIF("user", ''), NULLIF("api_key_name", '')) AS client,
    "tokens_cached" AS cached_tokens,
    "tokens_reasoning" AS reasoning_tokens,
    "time_to_first_token_ms" / 1000 AS ttft_s,
    CASE
        WHEN "finish_reason_normalized" IN ('error', 'content_filter')
            THEN COALESCE(NULLIF("finish_reason_raw", ''), "finish_reason_normalized")
        WHEN "cancelled" THEN 'cancelled'
    END AS reason
FROM log
