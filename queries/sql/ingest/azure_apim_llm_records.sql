-- Azure API Management, LLM gateway log in a storage account
-- Records of the diagnostic category GatewayLlmLogs, one object a line; their keys are written with a small or with a
-- large first letter. Rules as for the table (azure_apim_llm); the records do not tell failures.
-- reads: jsonl
-- arrival: time, when the gateway began to process the request
-- needs: request_tokens response_tokens
-- holds: cached_tokens
-- like: category ^GatewayLlmLogs$
-- column: time STAMP_S
-- column: category VARCHAR
-- column: properties JSON
WITH records AS (
    SELECT
        line_no,
        "category" AS category,
        "time" AS arrival_s,
        TRY_CAST("properties" AS JSON) AS said
    FROM log
),

counted AS (
    SELECT
        line_no,
        category,
        arrival_s,
        COALESCE(
            NULLIF(JSON_EXTRACT_STRING(said, '$.modelName'), ''),
            NULLIF(JSON_EXTRACT_STRING(said, '$.ModelName'), ''),
            NULLIF(JSON_EXTRACT_STRING(said, '$.deploymentName'), ''),
            NULLIF(JSON_EXTRACT_STRING(said, '$.DeploymentName'), '')
        ) AS model,
        TRY_CAST(
            COALESCE(
                JSON_EXTRACT_STRING(said, '$.promptTokens'), JSON_EXTRACT_STRING(said, '$.PromptTokens')
            ) AS DOUBLE
        ) AS request_tokens,
        TRY_CAST(
            COALESCE(
                JSON_EXTRACT_STRING(said, '$.completionTokens'), JSON_EXTRACT_STRING(said, '$.CompletionTokens')
            ) AS DOUBLE
        ) AS response_tokens,
        TRY_CAST(
            COALESCE(
                JSON_EXTRACT_STRING(said, '$.promptCachedTokens'),
                JSON_EXTRACT_STRING(said, '$.PromptCachedTokens')
            ) AS DOUBLE
        ) AS cached_tokens
    FROM records
)

SELECT
    line_no,
    arrival_s,
    $service AS service,
    model,
    request_tokens,
    response_tokens,
    FALSE AS failed,
    cached_tokens
FROM counted
WHERE category IS NULL OR (category = 'GatewayLlmLogs' AND (model IS NOT NULL OR request_tokens > 0))
