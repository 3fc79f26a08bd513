-- Portkey logs
-- The export of logs, one object a line.
-- reads: jsonl csv
-- arrival: created_at
-- failures: is_success is 0
-- needs: request_tokens response_tokens
-- holds: session elapsed_s client cached_tokens reasoning_tokens reason
-- column: created_at STAMP_S
-- column: ai_model VARCHAR
-- column: req_units DOUBLE
-- column: res_units DOUBLE
-- optional: is_success VARCHAR
-- optional: response_time DOUBLE
-- optional: response_status_code DOUBLE
-- optional: trace_id VARCHAR
-- optional: metadata JSON
-- optional: response.body.usage.prompt_tokens_details.cached_tokens DOUBLE
-- optional: response.body.usage.completion_tokens_details.reasoning_tokens DOUBLE
WITH calls AS (
    SELECT
        *,
        COALESCE(LOWER("is_success") NOT IN ('1', '1.0', 'true'), "response_status_code" >= 400, FALSE) AS failed,
        TRY_CAST("metadata" AS JSON) AS labels
    FROM log
)

SELECT
    "created_at" AS arrival_s,
    $service AS service,
    "ai_model" AS model,
    NULLIF("trace_id", '') AS session,
    "req_units" AS request_tokens,
    "res_units" AS response_tokens,
    "response_time" / 1000 AS elapsed_s,
    failed,
    COALESCE(
        JSON_EXTRACT_STRING(labels, '$._user'),
        FROM_JSON(labels, '{"value":["VARCHAR"]}').value[
            LIST_POSITION(FROM_JSON(labels, '{"key":["VARCHAR"]}').key, '_user')
        ]
    ) AS client,
    "response.body.usage.prompt_tokens_details.cached_tokens" AS cached_tokens,
    "response.body.usage.completion_tokens_details.reasoning_tokens" AS reasoning_tokens,
    CASE WHEN failed THEN CAST(CAST("response_status_code" AS INTEGER) AS VARCHAR) END AS reason
FROM calls
