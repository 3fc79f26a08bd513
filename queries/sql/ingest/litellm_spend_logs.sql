-- LiteLLM spend logs
-- The table LiteLLM_SpendLogs as CSV or Parquet, or the objects of `/spend/logs`. Failed calls are in it since the
-- table has the column status (or metadata.status); older proxies kept them in a table of their own. The model is
-- the group that clients ask for. Calls that ask no model (tools, files, batches, health) are left out.
-- reads: csv jsonl parquet
-- arrival: startTime, when the proxy received the call
-- failures: status is failure
-- needs: request_tokens response_tokens
-- holds: session elapsed_s client cached_tokens reasoning_tokens ttft_s reason
-- column: call_type VARCHAR
-- column: spend UNUSED
-- column: startTime STAMP_S
-- column: endTime STAMP_S
-- column: prompt_tokens DOUBLE
-- column: completion_tokens DOUBLE
-- optional: completionStartTime STAMP_S
-- optional: model VARCHAR
-- optional: model_group VARCHAR
-- optional: user VARCHAR
-- optional: end_user VARCHAR
-- optional: api_key VARCHAR
-- optional: session_id VARCHAR
-- optional: status VARCHAR
-- optional: metadata.status VARCHAR
-- optional: metadata.error_information.error_code VARCHAR
-- optional: metadata.error_information.error_class VARCHAR
-- optional: metadata.usage_object.prompt_tokens_details.cached_tokens DOUBLE
-- optional: metadata.usage_object.cache_read_input_tokens DOUBLE
-- optional: metadata.usage_object.completion_tokens_details.reasoning_tokens DOUBLE
-- optional: metadata.additional_usage_values.prompt_tokens_details.cached_tokens DOUBLE
-- optional: metadata.additional_usage_values.cache_read_input_tokens DOUBLE
-- optional: metadata.additional_usage_values.completion_tokens_details.reasoning_tokens DOUBLE
WITH calls AS (
    SELECT
        *,
        COALESCE(COALESCE(NULLIF("status", ''), "metadata.status") = 'failure', FALSE) AS failed
    FROM log
    WHERE
        "call_type" IS NULL
        OR NOT REGEXP_MATCHES("call_type", '^a?(get|delete|list|cancel|retrieve|create_file|create_batch)|mcp|health|vector_store|fine_tun|_file|search')
)
SELECT
    line_no,
    "startTime" AS arrival_s,
    CASE
        WHEN "call_type" LIKE '%embedding%' THEN 'embedding'
        WHEN "call_type" LIKE '%rerank%' THEN 'rerank'
        WHEN "call_type" LIKE '%image%' THEN 'image'
        WHEN "call_type" LIKE '%speech%' OR "call_type" LIKE '%transcription%' THEN 'audio'
        ELSE $service
    END AS service,
    COALESCE(NULLIF("model_group", ''), NULLIF("model", '')) AS model,
    NULLIF("session_id", '') AS session,
    CASE WHEN failed THEN NULLIF("prompt_tokens", 0) ELSE "prompt_tokens" END AS request_tokens,
    CASE WHEN failed THEN NULLIF("completion_tokens", 0) ELSE "completion_tokens" END AS response_tokens,
    "endTime" - "startTime" AS elapsed_s,
    failed,
    COALESCE(NULLIF("end_user", ''), NULLIF("user", ''), NULLIF("api_key", '')) AS client,
    COALESCE(
        "metadata.usage_object.prompt_tokens_details.cached_tokens",
        "metadata.usage_object.cache_read_input_tokens",
        "metadata.additional_usage_values.prompt_tokens_details.cached_tokens",
        "metadata.additional_usage_values.cache_read_input_tokens"
    ) AS cached_tokens,
    COALESCE(
        "metadata.usage_object.completion_tokens_details.reasoning_tokens",
        "metadata.additional_usage_values.completion_tokens_details.reasoning_tokens"
    ) AS reasoning_tokens,
    CASE
        WHEN "completionStartTime" > "startTime" AND "completionStartTime" < "endTime"
            THEN "completionStartTime" - "startTime"
    END AS ttft_s,
    CASE
        WHEN failed
            THEN COALESCE(
                NULLIF("metadata.error_information.error_code", ''),
                NULLIF("metadata.error_information.error_class", '')
            )
    END AS reason
FROM calls
