-- SGLang request metrics
-- What a server writes with `--export-metrics-to-file`: one object a finished request.
-- reads: jsonl
-- arrival: request_received_ts
-- failures: finish_reason is abort
-- needs: request_tokens response_tokens
-- holds: session elapsed_s cached_tokens reasoning_tokens ttft_s reason
-- column: request_parameters UNUSED
-- column: request_received_ts STAMP_S
-- column: prompt_tokens DOUBLE
-- column: completion_tokens DOUBLE
-- optional: cached_tokens DOUBLE
-- optional: reasoning_tokens DOUBLE
-- optional: e2e_latency DOUBLE
-- optional: first_token_latency DOUBLE
-- optional: prefill_finished_ts STAMP_S
-- optional: request_parameters.model VARCHAR
-- optional: request_parameters.session_params.id VARCHAR
-- optional: finish_reason.type VARCHAR
-- optional: finish_reason.status_code VARCHAR
-- optional: finish_reason.message VARCHAR
SELECT
    "request_received_ts" AS arrival_s,
    $service AS service,
    "request_parameters.model" AS model,
    "request_parameters.session_params.id" AS session,
    "prompt_tokens" AS request_tokens,
    "completion_tokens" AS response_tokens,
    "e2e_latency" AS elapsed_s,
    COALESCE("finish_reason.type" = 'abort', FALSE) AS failed,
    "cached_tokens" AS cached_tokens,
    "reasoning_tokens" AS reasoning_tokens,
    COALESCE(
        "first_token_latency",
        CASE
            WHEN "prefill_finished_ts" BETWEEN "request_received_ts" AND "request_received_ts" + "e2e_latency"
                THEN "prefill_finished_ts" - "request_received_ts"
        END
    ) AS ttft_s,
    CASE
        WHEN "finish_reason.type" = 'abort'
            THEN COALESCE(
                "finish_reason.status_code",
                CASE
                    WHEN REGEXP_MATCHES(COALESCE("finish_reason.message", ''), '(?i)^$|abort|disconnect') THEN 'cancelled'
                    ELSE "finish_reason.message"
                END
            )
    END AS reason
FROM log
