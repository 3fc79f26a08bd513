-- AWS Bedrock invocation log
-- Model invocation logging to S3, or to CloudWatch as lines of the log group: one object an invocation.
-- reads: jsonl
-- arrival: timestamp, in whole seconds
-- failures: errorCode is there
-- needs: request_tokens response_tokens
-- holds: elapsed_s client cached_tokens reason
-- like: schemaType ^ModelInvocationLog$
-- column: timestamp STAMP_S
-- column: modelId VARCHAR
-- optional: identity.arn VARCHAR
-- optional: errorCode VARCHAR
-- optional: input.inputTokenCount DOUBLE
-- optional: input.cacheReadInputTokenCount DOUBLE
-- optional: input.cacheWriteInputTokenCount DOUBLE
-- optional: output.outputTokenCount DOUBLE
-- optional: output.outputBodyJson.metrics.latencyMs DOUBLE
WITH invocations AS (
    SELECT
        line_no,
        "timestamp" AS arrival_s,
        "modelId" AS model,
        "identity.arn" AS client,
        NULLIF("errorCode", '') AS cause,
        "input.inputTokenCount" AS input,
        "output.outputTokenCount" AS output,
        "input.cacheReadInputTokenCount" AS cached,
        COALESCE("input.cacheReadInputTokenCount", 0) + COALESCE("input.cacheWriteInputTokenCount", 0) AS beside,
        "output.outputBodyJson.metrics.latencyMs" / 1000 AS elapsed_s
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
