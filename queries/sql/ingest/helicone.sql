-- Helicone requests
-- The export of the page Requests as CSV or JSON, or of the table request_response_rmt. Status -3 is a request that
-- its client cancelled, -4 one that was stopped as a threat; requests that are still pending lack counts and are
-- rejects.
-- reads: csv jsonl parquet
-- arrival: request_created_at
-- failures: response_status is 400 and more, -3 or -4
-- needs: request_tokens response_tokens
-- holds: session elapsed_s client cached_tokens reasoning_tokens ttft_s reason
-- like: line request_created_at
-- column: request_created_at STAMP_S
-- column: prompt_tokens DOUBLE
-- column: completion_tokens DOUBLE
-- optional: response_created_at STAMP_S
-- optional: response_status DOUBLE
-- optional: status DOUBLE
-- optional: latency DOUBLE
-- optional: delay_ms DOUBLE
-- optional: time_to_first_token DOUBLE
-- optional: model VARCHAR
-- optional: request_model VARCHAR
-- optional: response_model VARCHAR
-- optional: request_user_id VARCHAR
-- optional: user_id VARCHAR
-- optional: request_properties[Helicone-Session-Id] VARCHAR
-- optional: properties[Helicone-Session-Id] VARCHAR
-- optional: prompt_cache_read_tokens DOUBLE
-- optional: reasoning_tokens DOUBLE
WITH requests AS (
    SELECT *, COALESCE("response_status", "status") AS code FROM log
)

SELECT
    "request_created_at" AS arrival_s,
    $service AS service,
    COALESCE(NULLIF("request_model", ''), NULLIF("model", ''), NULLIF("response_model", '')) AS model,
    COALESCE(
        NULLIF("request_properties[Helicone-Session-Id]", ''), NULLIF("properties[Helicone-Session-Id]", '')
    ) AS session,
    "prompt_tokens" AS request_tokens,
    "completion_tokens" AS response_tokens,
    COALESCE("latency" / 1000, "delay_ms" / 1000, "response_created_at" - "request_created_at") AS elapsed_s,
    COALESCE(code >= 400 OR code IN (-3, -4), FALSE) AS failed,
    COALESCE(NULLIF("request_user_id", ''), NULLIF("user_id", '')) AS client,
    "prompt_cache_read_tokens" AS cached_tokens,
    "reasoning_tokens" AS reasoning_tokens,
    "time_to_first_token" / 1000 AS ttft_s,
    CASE
        WHEN code = -3 THEN 'cancelled'
        WHEN code = -4 THEN 'content filter'
        WHEN code >= 400 THEN CAST(CAST(code AS INTEGER) AS VARCHAR)
    END AS reason
FROM requests
