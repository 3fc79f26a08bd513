-- Kong AI Gateway log
-- What Kong's logging plugins (file, HTTP, TCP) write of routes with AI Proxy or AI Proxy Advanced. Routes that never
-- show statistics of these plugins are left out; a request that such a route refused stays, as a failure.
-- reads: jsonl
-- arrival: started_at, when Kong began to read the request
-- failures: response.status is 400 and more
-- needs: request_tokens response_tokens
-- holds: elapsed_s client cached_tokens reasoning_tokens ttft_s reason
-- like: line "ai": *\{
-- column: started_at STAMP_MS
-- column: latencies UNUSED
-- optional: ai JSON
-- optional: latencies.request DOUBLE
-- optional: response.status DOUBLE
-- optional: route.id VARCHAR
-- optional: route.name VARCHAR
-- optional: consumer.username VARCHAR
-- optional: consumer.id VARCHAR
-- optional: authenticated_entity.id VARCHAR
-- optional: ai.proxy.meta.request_model VARCHAR
-- optional: ai.ai-proxy.meta.request_model VARCHAR
-- optional: ai.ai-proxy-advanced.meta.request_model VARCHAR
-- optional: ai.proxy.usage.prompt_tokens DOUBLE
-- optional: ai.ai-proxy.usage.prompt_tokens DOUBLE
-- optional: ai.ai-proxy-advanced.usage.prompt_tokens DOUBLE
-- optional: ai.ai-proxy.usage.prompt_token DOUBLE
-- optional: ai.ai-proxy-advanced.usage.prompt_token DOUBLE
-- optional: ai.proxy.usage.completion_tokens DOUBLE
-- optional: ai.ai-proxy.usage.completion_tokens DOUBLE
-- optional: ai.ai-proxy-advanced.usage.completion_tokens DOUBLE
-- optional: ai.ai-proxy.usage.completion_token DOUBLE
-- optional: ai.ai-proxy-advanced.usage.completion_token DOUBLE
-- optional: ai.proxy.usage.time_to_first_token DOUBLE
-- optional: ai.proxy.usage.prompt_tokens_details.cached_tokens DOUBLE
-- optional: ai.proxy.usage.completion_tokens_details.reasoning_tokens DOUBLE
WITH calls AS (
    SELECT
        *,
        COALESCE("response.status" >= 400, FALSE) AS failed,
        BOOL_OR("ai" IS NOT NULL AND "ai" <> '{}') OVER (PARTITION BY COALESCE("route.id", "route.name")) AS is_ai
    FROM log
)

SELECT
    line_no,
    "started_at" AS arrival_s,
    $service AS service,
    COALESCE(
        "ai.proxy.meta.request_model",
        "ai.ai-proxy.meta.request_model",
        "ai.ai-proxy-advanced.meta.request_model"
    ) AS model,
    COALESCE(
        "ai.proxy.usage.prompt_tokens",
        "ai.ai-proxy.usage.prompt_tokens",
        "ai.ai-proxy-advanced.usage.prompt_tokens",
        "ai.ai-proxy.usage.prompt_token",
        "ai.ai-proxy-advanced.usage.prompt_token"
    ) AS request_tokens,
    COALESCE(
        "ai.proxy.usage.completion_tokens",
        "ai.ai-proxy.usage.completion_tokens",
        "ai.ai-proxy-advanced.usage.completion_tokens",
        "ai.ai-proxy.usage.completion_token",
        "ai.ai-proxy-advanced.usage.completion_token"
    ) AS response_tokens,
    "latencies.request" / 1000 AS elapsed_s,
    failed,
    COALESCE("consumer.username", "consumer.id", "authenticated_entity.id") AS client,
    "ai.proxy.usage.prompt_tokens_details.cached_tokens" AS cached_tokens,
    "ai.proxy.usage.completion_tokens_details.reasoning_tokens" AS reasoning_tokens,
    "ai.proxy.usage.time_to_first_token" / 1000 AS ttft_s,
    CASE WHEN failed THEN CAST(CAST("response.status" AS INTEGER) AS VARCHAR) END AS reason
FROM calls
WHERE is_ai OR "started_at" IS NULL
