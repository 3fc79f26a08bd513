-- LiteLLM logging payload
-- StandardLoggingPayload, one object a line, as LiteLLM's callbacks for files, S3, GCS and queues write it. Its
-- `response_time` is the time to the first token of a stream, so the end comes from endTime.
-- reads: jsonl parquet
-- arrival: startTime, when the proxy received the call
-- failures: status is failure
-- needs: request_tokens response_tokens
-- holds: session elapsed_s client cached_tokens reasoning_tokens ttft_s reason
-- column: call_type VARCHAR
-- column: response_cost UNUSED
-- column: startTime STAMP_S
-- column: endTime STAMP_S
-- column: prompt_tokens DOUBLE
-- column: completion_tokens DOUBLE
-- optional: completionStartTime STAMP_S
-- optional: stream BOOLEAN
-- optional: model VARCHAR
-- optional: model_group VARCHAR
-- optional: trace_id VARCHAR
-- optional: session_id VARCHAR
-- optional: status VARCHAR
-- optional: error_str VARCHAR
-- optional: error_information.error_code VARCHAR
-- optional: error_information.error_class VARCHAR
-- optional: end_user VARCHAR
-- optional: metadata.user_api_key_end_user_id VARCHAR
-- optional: metadata.user_api_key_user_id VARCHAR
-- optional: metadata.user_api_key_hash VARCHAR
-- optional: metadata.usage_object.prompt_tokens_details.cached_tokens DOUBLE
-- optional: metadata.usage_object.completion_tokens_details.reasoning_tokens DOUBLE
-- optional: response.usage.prompt_tokens_details.cached_tokens DOUBLE
-- optional: response.usage.completion_tokens_details.reasoning_tokens DOUBLE
WITH calls AS (
    SELECT *, COALESCE("status" = 'failure', NULLIF("error_str", '') IS NOT NULL) AS failed
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
    COALESCE(NULLIF("session_id", ''), NULLIF("trace_id", '')) AS session,
    CASE WHEN failed THEN NULLIF("prompt_tokens", 0) ELSE "prompt_tokens" END AS request_tokens,
    CASE WHEN failed THEN NULLIF("completion_tokens", 0) ELSE "completion_tokens" END AS response_tokens,
    "endTime" - "startTime" AS elapsed_s,
    failed,
    COALESCE(
        NULLIF("end_user", ''),
        NULLIF("metadata.user_api_key_end_user_id", ''),
        NULLIF("metadata.user_api_key_user_id", ''),
        NULLIF("metadata.user_api_key_hash", '')
    ) AS client,
    COALESCE(
        "metadata.usage_object.prompt_tokens_details.cached_tokens",
        "response.usage.prompt_tokens_details.cached_tokens"
    ) AS cached_tokens,
    COALESCE(
        "metadata.usage_object.completion_tokens_details.reasoning_tokens",
        "response.usage.completion_tokens_details.reasoning_tokens"
    ) AS reasoning_tokens,
    CASE
        WHEN
            NOT failed
            AND COALESCE("stream", TRUE)
            AND "completionStartTime" > "startTime"
            AND "completionStartTime" < "endTime"
            THEN "completionStartTime" - "startTime"
    END AS ttft_s,
    CASE
        WHEN failed
            THEN COALESCE(
                NULLIF("error_information.error_code", ''),
                NULLIF("error_information.error_class", ''),
                NULLIF("error_str", '')
            )
    END AS reason
FROM calls
