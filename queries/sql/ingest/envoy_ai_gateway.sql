-- Envoy AI Gateway access log
-- JSON access log with the fields that the gateway's documentation sets: gen_ai.* since version 0.6, genai_* before.
-- Calls of MCP tools, lists of models and other GETs are left out.
-- reads: jsonl
-- arrival: start_time
-- failures: response_code is 0 or 400 and more, or the client went away
-- needs: request_tokens response_tokens
-- holds: session elapsed_s cached_tokens reasoning_tokens reason
-- like: line "(genai_tokens_|gen_ai\.usage\.)
-- column: start_time STAMP_S
-- column: duration DOUBLE
-- column: response_code DOUBLE
-- optional: response_flags VARCHAR
-- optional: method VARCHAR
-- optional: x-envoy-origin-path VARCHAR
-- optional: mcp.method.name VARCHAR
-- optional: session.id VARCHAR
-- optional: gen_ai.request.model VARCHAR
-- optional: gen_ai.response.model VARCHAR
-- optional: genai_model_name VARCHAR
-- optional: gen_ai.usage.input_tokens DOUBLE
-- optional: gen_ai.usage.output_tokens DOUBLE
-- optional: gen_ai.usage.cached_tokens DOUBLE
-- optional: gen_ai.usage.cache_read.input_tokens DOUBLE
-- optional: gen_ai.usage.reasoning_tokens DOUBLE
-- optional: genai_tokens_input DOUBLE
-- optional: genai_tokens_output DOUBLE
-- optional: genai_tokens_cached_input DOUBLE
WITH calls AS (
    SELECT
        *,
        COALESCE("response_code" >= 400 OR "response_code" = 0, FALSE)
        OR CONTAINS(COALESCE("response_flags", ''), 'DC') AS failed
    FROM log
    WHERE
        COALESCE("method", 'POST') NOT IN ('GET', 'HEAD', 'OPTIONS')
        AND "mcp.method.name" IS NULL
        AND NOT REGEXP_MATCHES(COALESCE("x-envoy-origin-path", ''), '^/mcp\b')
)

SELECT
    line_no,
    "start_time" AS arrival_s,
    $service AS service,
    COALESCE("gen_ai.request.model", "genai_model_name", "gen_ai.response.model") AS model,
    "session.id" AS session,
    COALESCE("gen_ai.usage.input_tokens", "genai_tokens_input") AS request_tokens,
    COALESCE("gen_ai.usage.output_tokens", "genai_tokens_output") AS response_tokens,
    "duration" / 1000 AS elapsed_s,
    failed,
    COALESCE(
        "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cached_tokens", "genai_tokens_cached_input"
    ) AS cached_tokens,
    "gen_ai.usage.reasoning_tokens" AS reasoning_tokens,
    CASE
        WHEN NOT failed THEN NULL
        WHEN REGEXP_MATCHES("response_flags", '\b(UT|SI|DT|UMSDR)\b') THEN 'timeout'
        WHEN "response_code" = 0 OR REGEXP_MATCHES("response_flags", '\bDC\b') THEN 'cancelled'
        ELSE CAST(CAST("response_code" AS INTEGER) AS VARCHAR)
    END AS reason
FROM calls
