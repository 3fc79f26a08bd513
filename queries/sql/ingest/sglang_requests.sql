-- SGLang request log
-- What a server writes with `--log-requests --log-requests-format json`: a line when a request is received and a
-- line when it is finished, paired by rid. A request whose start is not in the file arrived its latency before its
-- end; one whose end is not in the file has no counts, and is a reject. Health checks are left out.
-- reads: jsonl
-- arrival: the line request.received
-- failures: finish_reason is abort
-- needs: request_tokens response_tokens
-- holds: session elapsed_s cached_tokens reasoning_tokens ttft_s reason
-- like: event ^request\.(received|finished)$
-- column: event VARCHAR
-- column: rid VARCHAR
-- column: timestamp STAMP_S
-- optional: obj.model VARCHAR
-- optional: obj.session_params.id VARCHAR
-- optional: out.meta_info.prompt_tokens DOUBLE
-- optional: out.meta_info.completion_tokens DOUBLE
-- optional: out.meta_info.cached_tokens DOUBLE
-- optional: out.meta_info.reasoning_tokens DOUBLE
-- optional: out.meta_info.e2e_latency DOUBLE
-- optional: out.meta_info.first_token_latency DOUBLE
-- optional: out.meta_info.finish_reason.type VARCHAR
-- optional: out.meta_info.finish_reason.status_code VARCHAR
-- optional: out.meta_info.finish_reason.message VARCHAR
WITH events AS (
    SELECT *
    FROM log
    WHERE
        "event" IS NULL
        OR ("event" IN ('request.received', 'request.finished') AND NOT CONTAINS(COALESCE("rid", ''), 'HEALTH_CHECK'))
),

received AS (
    SELECT "rid" AS rid, MIN("timestamp") AS received_s, ANY_VALUE("obj.model") AS model, MIN(line_no) AS line_no
    FROM events
    WHERE "event" = 'request.received'
    GROUP BY "rid"
),

finished AS (
    SELECT *, COALESCE("out.meta_info.finish_reason.type" = 'abort', FALSE) AS failed
    FROM events
    WHERE "event" IS NULL OR "event" = 'request.finished'
)

SELECT
    COALESCE(finished.line_no, received.line_no) AS line_no,
    COALESCE(received_s, "timestamp" - "out.meta_info.e2e_latency", "timestamp") AS arrival_s,
    $service AS service,
    COALESCE(received.model, "obj.model") AS model,
    "obj.session_params.id" AS session,
    "out.meta_info.prompt_tokens" AS request_tokens,
    "out.meta_info.completion_tokens" AS response_tokens,
    COALESCE("out.meta_info.e2e_latency", "timestamp" - received_s) AS elapsed_s,
    COALESCE(failed, FALSE) AS failed,
    "out.meta_info.cached_tokens" AS cached_tokens,
    "out.meta_info.reasoning_tokens" AS reasoning_tokens,
    "out.meta_info.first_token_latency" AS ttft_s,
    CASE
        WHEN failed
            THEN COALESCE(
                "out.meta_info.finish_reason.status_code",
                CASE
                    WHEN
                        REGEXP_MATCHES(COALESCE("out.meta_info.finish_reason.message", ''), '(?i)^$|abort|disconnect')
                        THEN 'cancelled'
                    ELSE "out.meta_info.finish_reason.message"
                END
            )
    END AS reason
FROM finished
FULL JOIN received ON finished."rid" = received.rid
