-- OpenTelemetry spans
-- One span a line: the console exporters, exports of trace stores, OTLP spans that were taken out of their
-- batches. Names and rules are those of OTLP batches (otlp_traces).
-- reads: jsonl
-- arrival: start of the span of the call
-- failures: the span's status is an error, or it has an error.type
-- needs: request_tokens response_tokens
-- holds: session elapsed_s client cached_tokens reasoning_tokens ttft_s reason
-- like: line "(gen_ai|llm)\.
-- not: resourceSpans
-- column: attributes JSON
-- optional: trace_id VARCHAR
-- optional: traceId VARCHAR
-- optional: context.trace_id VARCHAR
-- optional: span_id VARCHAR
-- optional: spanId VARCHAR
-- optional: context.span_id VARCHAR
-- optional: parent_span_id VARCHAR
-- optional: parentSpanId VARCHAR
-- optional: parent_id VARCHAR
-- optional: start_time STAMP_S
-- optional: startTime STAMP_S
-- optional: start_time_unix_nano STAMP_NS
-- optional: startTimeUnixNano STAMP_NS
-- optional: end_time STAMP_S
-- optional: endTime STAMP_S
-- optional: end_time_unix_nano STAMP_NS
-- optional: endTimeUnixNano STAMP_NS
-- optional: status_code VARCHAR
-- optional: status.code VARCHAR
-- optional: status.status_code VARCHAR
-- optional: status_message VARCHAR
-- optional: status.message VARCHAR
-- optional: status.description VARCHAR
-- optional: resource.attributes[service.name] VARCHAR
-- optional: attributes[gen_ai.operation.name] VARCHAR
-- optional: attributes[openinference.span.kind] VARCHAR
-- optional: attributes[llm.request.type] VARCHAR
-- optional: attributes[gen_ai.request.model] VARCHAR
-- optional: attributes[gen_ai.response.model] VARCHAR
-- optional: attributes[llm.request.model] VARCHAR
-- optional: attributes[llm.model_name] VARCHAR
-- optional: attributes[gen_ai.conversation.id] VARCHAR
-- optional: attributes[session.id] VARCHAR
-- optional: attributes[langfuse.session.id] VARCHAR
-- optional: attributes[traceloop.association.properties.session_id] VARCHAR
-- optional: attributes[user.id] VARCHAR
-- optional: attributes[enduser.id] VARCHAR
-- optional: attributes[langfuse.user.id] VARCHAR
-- optional: attributes[traceloop.association.properties.user_id] VARCHAR
-- optional: attributes[gen_ai.usage.input_tokens] DOUBLE
-- optional: attributes[gen_ai.usage.prompt_tokens] DOUBLE
-- optional: attributes[llm.usage.prompt_tokens] DOUBLE
-- optional: attributes[llm.token_count.prompt] DOUBLE
-- optional: attributes[gen_ai.usage.output_tokens] DOUBLE
-- optional: attributes[gen_ai.usage.completion_tokens] DOUBLE
-- optional: attributes[llm.usage.completion_tokens] DOUBLE
-- optional: attributes[llm.token_count.completion] DOUBLE
-- optional: attributes[gen_ai.usage.cache_read.input_tokens] DOUBLE
-- optional: attributes[gen_ai.usage.cache_read_input_tokens] DOUBLE
-- optional: attributes[gen_ai.usage.cached_tokens] DOUBLE
-- optional: attributes[llm.token_count.prompt_details.cache_read] DOUBLE
-- optional: attributes[gen_ai.usage.reasoning.output_tokens] DOUBLE
-- optional: attributes[gen_ai.usage.reasoning_tokens] DOUBLE
-- optional: attributes[llm.usage.reasoning_tokens] DOUBLE
-- optional: attributes[llm.token_count.completion_details.reasoning] DOUBLE
-- optional: attributes[gen_ai.response.time_to_first_chunk] DOUBLE
-- optional: attributes[gen_ai.latency.time_to_first_token] DOUBLE
-- optional: attributes[gen_ai.server.time_to_first_token] DOUBLE
-- optional: attributes[error.type] VARCHAR
-- optional: attributes[http.response.status_code] VARCHAR
WITH RECURSIVE timed AS (
    SELECT
        *,
        COALESCE("start_time", "startTime", "start_time_unix_nano", "startTimeUnixNano") AS arrival_s,
        COALESCE("end_time", "endTime", "end_time_unix_nano", "endTimeUnixNano") AS end_s,
        COALESCE("status.code", "status.status_code", "status_code") AS span_status,
        COALESCE(
            "attributes[error.type]",
            "attributes[http.response.status_code]"
        ) AS error
    FROM log
),

named AS (
    SELECT
        line_no,
        "attributes" IS NOT NULL OR arrival_s IS NOT NULL AS readable,
        "resource.attributes[service.name]" AS service_name,
        COALESCE("trace_id", "traceId", "context.trace_id") AS trace_id,
        COALESCE("span_id", "spanId", "context.span_id") AS span_id,
        COALESCE("parent_span_id", "parentSpanId", "parent_id") AS parent_id,
        arrival_s,
        end_s - arrival_s AS elapsed_s,
        COALESCE("status.message", "status.description", "status_message") AS status_message,
        "attributes[gen_ai.operation.name]" AS operation,
        COALESCE(
            "attributes[openinference.span.kind]",
            "attributes[llm.request.type]"
        ) AS kind,
        COALESCE(
            "attributes[gen_ai.request.model]",
            "attributes[gen_ai.response.model]",
            "attributes[llm.request.model]",
            "attributes[llm.model_name]"
        ) AS model,
        COALESCE(
            "attributes[gen_ai.conversation.id]",
            "attributes[session.id]",
            "attributes[langfuse.session.id]",
            "attributes[traceloop.association.properties.session_id]"
        ) AS session,
        COALESCE(
            "attributes[user.id]",
            "attributes[enduser.id]",
            "attributes[langfuse.user.id]",
            "attributes[traceloop.association.properties.user_id]"
        ) AS client,
        COALESCE(
            "attributes[gen_ai.usage.input_tokens]",
            "attributes[gen_ai.usage.prompt_tokens]",
            "attributes[llm.usage.prompt_tokens]",
            "attributes[llm.token_count.prompt]"
        ) AS request_tokens,
        COALESCE(
            "attributes[gen_ai.usage.output_tokens]",
            "attributes[gen_ai.usage.completion_tokens]",
            "attributes[llm.usage.completion_tokens]",
            "attributes[llm.token_count.completion]"
        ) AS response_tokens,
        COALESCE(
            "attributes[gen_ai.usage.cache_read.input_tokens]",
            "attributes[gen_ai.usage.cache_read_input_tokens]",
            "attributes[gen_ai.usage.cached_tokens]",
            "attributes[llm.token_count.prompt_details.cache_read]"
        ) AS cached_tokens,
        COALESCE(
            "attributes[gen_ai.usage.reasoning.output_tokens]",
            "attributes[gen_ai.usage.reasoning_tokens]",
            "attributes[llm.usage.reasoning_tokens]",
            "attributes[llm.token_count.completion_details.reasoning]"
        ) AS reasoning_tokens,
        COALESCE(
            "attributes[gen_ai.response.time_to_first_chunk]",
            "attributes[gen_ai.latency.time_to_first_token]",
            "attributes[gen_ai.server.time_to_first_token]"
        ) AS ttft_s,
        error,
        COALESCE(UPPER(span_status) IN ('2', 'ERROR', 'STATUS_CODE_ERROR'), FALSE)
        OR "attributes[error.type]" IS NOT NULL AS failed
    FROM timed
),

-- One call of a model: an operation of these names, or, in spans without one, a count of prompt tokens or the
-- mark of a model's span.
calls AS (
    SELECT *
    FROM named
    WHERE
        NOT readable
        OR LOWER(operation) IN ('chat', 'text_completion', 'generate_content', 'completion')
        OR (operation IS NULL AND (request_tokens IS NOT NULL OR LOWER(kind) IN ('llm', 'chat', 'completion')))
),

-- A framework's span around a call, and a gateway's around a server's, say the same call again: only the
-- innermost of nested calls counts.
above AS (
    SELECT DISTINCT trace_id, parent_id AS span_id FROM calls WHERE parent_id <> ''
    UNION
    SELECT named.trace_id, named.parent_id
    FROM above
    INNER JOIN named ON above.trace_id = named.trace_id AND above.span_id = named.span_id
    WHERE named.parent_id <> ''
)

SELECT
    calls.line_no,
    calls.arrival_s,
    COALESCE(NULLIF(calls.service_name, ''), $service) AS service,
    calls.model,
    calls.session,
    calls.request_tokens,
    calls.response_tokens,
    calls.elapsed_s,
    calls.failed,
    calls.client,
    calls.cached_tokens,
    calls.reasoning_tokens,
    calls.ttft_s,
    CASE WHEN calls.failed THEN COALESCE(NULLIF(calls.error, ''), NULLIF(calls.status_message, '')) END AS reason
FROM calls
ANTI JOIN above ON calls.trace_id = above.trace_id AND calls.span_id = above.span_id
