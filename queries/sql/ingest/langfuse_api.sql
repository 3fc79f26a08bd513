-- Langfuse observations, camelCase
-- The export of the observations table from the UI (JSON or CSV) and the objects of `/api/public/observations`.
-- Newer ones have usageDetails, older ones the object usage, or promptTokens and completionTokens. Rules as for the
-- export to a bucket (langfuse).
-- reads: jsonl csv parquet
-- arrival: start_time, when the call began
-- failures: level is ERROR
-- needs: request_tokens response_tokens
-- holds: session elapsed_s client cached_tokens reasoning_tokens ttft_s reason
-- like: type ^(GENERATION|SPAN|EVENT|AGENT|TOOL|CHAIN|RETRIEVER|EVALUATOR|EMBEDDING|GUARDRAIL)$
-- like: line ("|^|,)(usageDetails|usage|promptTokens|inputTokens)"?[:,]
-- not: usage_details
-- column: type VARCHAR
-- column: startTime STAMP_S
-- column: traceId UNUSED
-- optional: usageDetails JSON
-- optional: usage JSON
-- optional: promptTokens DOUBLE
-- optional: completionTokens DOUBLE
-- optional: inputTokens DOUBLE
-- optional: outputTokens DOUBLE
-- optional: endTime STAMP_S
-- optional: completionStartTime STAMP_S
-- optional: timeToFirstToken DOUBLE
-- optional: model VARCHAR
-- optional: providedModelName VARCHAR
-- optional: userId VARCHAR
-- optional: sessionId VARCHAR
-- optional: level VARCHAR
-- optional: statusMessage VARCHAR
WITH generations AS (
    SELECT
        *,
        COALESCE("level" = 'ERROR', FALSE) AS failed,
        MAP_ENTRIES(TRY_CAST(TRY_CAST("usageDetails" AS JSON) AS MAP(VARCHAR, DOUBLE))) AS parts,
        CASE
            WHEN COALESCE(JSON_EXTRACT_STRING(TRY_CAST("usage" AS JSON), '$.unit'), 'TOKENS') = 'TOKENS'
                THEN FROM_JSON(TRY_CAST("usage" AS JSON), '{"input":"DOUBLE","output":"DOUBLE"}')
        END AS older
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
    "startTime" AS arrival_s,
    $service AS service,
    COALESCE(NULLIF("providedModelName", ''), NULLIF("model", '')) AS model,
    NULLIF("sessionId", '') AS session,
    COALESCE(
        CASE WHEN COALESCE(total NOT IN (input + output, input + outputs), TRUE) THEN inputs ELSE input END,
        older.input,
        "promptTokens",
        "inputTokens"
    ) AS request_tokens,
    COALESCE(
        CASE WHEN COALESCE(total NOT IN (input + output, inputs + output), TRUE) THEN outputs ELSE output END,
        older.output,
        "completionTokens",
        "outputTokens"
    ) AS response_tokens,
    "endTime" - "startTime" AS elapsed_s,
    failed,
    NULLIF("userId", '') AS client,
    cached AS cached_tokens,
    reasoning AS reasoning_tokens,
    COALESCE("completionStartTime" - "startTime", "timeToFirstToken") AS ttft_s,
    CASE WHEN failed THEN NULLIF("statusMessage", '') END AS reason
FROM counted
