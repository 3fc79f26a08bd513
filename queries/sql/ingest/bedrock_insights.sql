-- AWS Bedrock invocation log, from Logs Insights
-- The result of a query of @message, as CSV or JSON lines: the object of an invocation lies as text in @message.
-- Rules as for the log itself (bedrock).
-- reads: jsonl csv
-- arrival: timestamp, in whole seconds
-- failures: errorCode is there
-- needs: request_tokens response_tokens
-- holds: elapsed_s client cached_tokens reason
-- like: @message.schemaType ^ModelInvocationLog$
-- column: @message.timestamp STAMP_S
-- column: @message.modelId VARCHAR
-- optional: @message.identity.arn VARCHAR
-- optional: @message.errorCode VARCHAR
-- optional: @message.input.inputTokenCount DOUBLE
-- optional: @message.output.outputTokenCount DOUBLE
-- optional: @message.input.cacheReadInputTokenCount DOUBLE
-- optional: @message.input.cacheWriteInputTokenCount DOUBLE
-- optional: @message.output.outputBodyJson.metrics.latencyMs DOUBLE
WITH invocations AS (
    SELECT
        line_no,
        "@message.timestamp" AS arrival_s,
        "@message.modelId" AS model,
        "@message.identity.arn" AS client,
        NULLIF("@message.errorCode", '') AS cause,
        "@message.input.inputTokenCount" AS input,
        "@message.output.outputTokenCount" AS output,
        "@message.input.cacheReadInputTokenCount" AS cached,
        COALESCE("@message.input.cacheReadInputTokenCount", 0)
        + COALESCE("@message.input.cacheWriteInputTokenCount", 0) AS beside,
        "@message.output.outputBodyJson.metrics.latencyMs" / 1000 AS elapsed_s
    FROM log
)

-- A model's inputTokenCount leaves cached tokens out, if it is ever smaller than they are.
SELECT
    line_no,
    arrival_s,
    CASE WHEN CONTAINS(model, 'embed') THEN 'embedding' ELSE $service END AS service,
    model,
    CASE WHEN BOOL_OR(beside > input) OVER (PARTITION BY model) THEN input + beside ELSE input END AS request_tokens,
    CASE WHEN CONTAINS(model, 'embed') THEN COALESCE(output, 0) ELSE output END AS response_tokens,
    elapsed_s,
    cause IS NOT NULL AS failed,
    client,
    cached AS cached_tokens,
    cause AS reason
FROM invocations
