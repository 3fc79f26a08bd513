-- Azure API Management, LLM gateway log
-- The table ApiManagementGatewayLlmLog of Log Analytics, as CSV or JSON. A request is its row number 0; rows
-- that hold pieces of messages are left out. ResponseCode, TotalTime (ms) and ApimSubscriptionId are read where a
-- query joined them from ApiManagementGatewayLogs: without them the log does not tell failures.
-- reads: csv jsonl parquet
-- arrival: TimeGenerated, when the gateway began to process the request
-- failures: ResponseCode is 400 and more
-- needs: request_tokens response_tokens
-- holds: elapsed_s client cached_tokens reason
-- column: CorrelationId VARCHAR
-- column: PromptTokens DOUBLE
-- column: CompletionTokens DOUBLE
-- optional: TimeGenerated STAMP_S
-- optional: TimeGenerated [UTC] STAMP_S
-- optional: SequenceNumber DOUBLE
-- optional: ModelName VARCHAR
-- optional: DeploymentName VARCHAR
-- optional: PromptCachedTokens DOUBLE
-- optional: ResponseCode DOUBLE
-- optional: TotalTime DOUBLE
-- optional: ApimSubscriptionId VARCHAR
SELECT
    line_no,
    COALESCE("TimeGenerated", "TimeGenerated [UTC]") AS arrival_s,
    $service AS service,
    COALESCE(NULLIF("ModelName", ''), NULLIF("DeploymentName", '')) AS model,
    "PromptTokens" AS request_tokens,
    "CompletionTokens" AS response_tokens,
    "TotalTime" / 1000 AS elapsed_s,
    COALESCE("ResponseCode" >= 400, FALSE) AS failed,
    NULLIF("ApimSubscriptionId", '') AS client,
    "PromptCachedTokens" AS cached_tokens,
    CASE WHEN "ResponseCode" >= 400 THEN CAST(CAST("ResponseCode" AS INTEGER) AS VARCHAR) END AS reason
FROM log
WHERE "CorrelationId" IS NULL OR COALESCE("SequenceNumber", 0) = 0 OR "PromptTokens" > 0 OR "CompletionTokens" > 0
