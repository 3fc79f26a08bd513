-- Langfuse observations
-- The export of observations to a bucket, as JSON lines or CSV (snake_case). Only generations are requests; spans,
-- events, tools and agents are left out. Langfuse keeps parts of a count beside `input` and `output` (cached,
-- reasoning, audio); whether `input` holds the cached tokens too follows from `total`.
-- reads: jsonl csv parquet
-- arrival: start_time, when the call began
-- failures: level is ERROR
-- needs: request_tokens response_tokens
-- holds: session elapsed_s client cached_tokens reasoning_tokens ttft_s reason
-- like: type ^(GENERATION|SPAN|EVENT|AGENT|TOOL|CHAIN|RETRIEVER|EVALUATOR|EMBEDDING|GUARDRAIL)$
-- column: trace_id UNUSED
-- column: type VARCHAR
-- column: start_time STAMP_S
-- column: usage_details JSON
-- optional: end_time STAMP_S
-- optional: completion_start_time STAMP_S
-- optional: time_to_first_token DOUBLE
-- optional: provided_model_name VARCHAR
-- optional: user_id VARCHAR
-- optional: session_id VARCHAR
-- optional: level VARCHAR
-- optional: status_message VARCHAR
WITH generations AS (
    SELECT
        *,
        COALESCE("level" = 'ERROR', FALSE) AS failed,
        MAP_ENTRIES(TRY_CAST(TRY_CAST("usage_details" AS JSON) AS MAP(VARCHAR, DOUBLE))) AS parts
    FROM log
    WHERE "type" IS NULL OR "type" = 'GENERATION'
),

counted AS (
    SELECT
        *,
        LIST_SUM([part.value FOR part IN parts IF part.key IN ('input', 'prompt_tokens')]) AS input,
        LIST_SUM([part.value FOR part IN parts IF part.key IN ('output', 'completion_tokens')]) AS output,
        LIST_SUM([part.value FOR part IN parts IF REGEXP_MATCHES(part.key, '^(input|prompt|cache)')]) AS inputs,
        LIST_SUM([part.value FOR part IN parts IF REGEXP_MATCHES(part.key, '^(output|completion|reasoning)')])
            AS outputs,
        LIST_SUM([part.value FOR part IN parts IF REGEXP_MATCHES(part.key, 'cached|cache_read')]) AS cached,
        LIST_SUM([part.value FOR part IN parts IF REGEXP_MATCHES(part.key, 'reasoning|thought')]) AS reasoning,
        LIST_SUM([part.value FOR part IN parts IF part.key IN ('total', 'total_tokens')]) AS total
    FROM generations
)

SELECT
    line_no,
    "start_time" AS arrival_s,
    $service AS service,
    NULLIF("provided_model_name", '') AS model,
    NULLIF("session_id", '') AS session,
    CASE
        WHEN COALESCE(total NOT IN (input + output, input + outputs), TRUE) THEN inputs
        ELSE input
    END AS request_tokens,
    CASE
        WHEN COALESCE(total NOT IN (input + output, inputs + output), TRUE) THEN outputs
        ELSE output
    END AS response_tokens,
    "end_time" - "start_time" AS elapsed_s,
    failed,
    NULLIF("user_id", '') AS client,
    cached AS cached_tokens,
    reasoning AS reasoning_tokens,
    COALESCE("completion_start_time" - "start_time", "time_to_first_token") AS ttft_s,
    CASE WHEN failed THEN NULLIF("status_message", '') END AS reason
FROM counted
