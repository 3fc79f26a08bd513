-- OpenTelemetry traces, OTLP
-- Batches of spans, one a line, as the file exporter of the OpenTelemetry Collector writes them; names of the
-- GenAI conventions, of their older versions (prompt_tokens), of OpenLLMetry, OpenInference and vLLM. Spans that
-- are not calls of a model (tools, agents, embeddings, HTTP) are left out; a call without counts is a reject.
-- reads: jsonl
-- arrival: start of the span of the call
-- failures: the span's status is an error, or it has an error.type
-- needs: request_tokens response_tokens
-- holds: session elapsed_s client cached_tokens reasoning_tokens ttft_s reason
-- like: line "(gen_ai|llm)\.
-- column: resourceSpans JSON
-- optional: resourceSpans[0].scopeSpans[0].spans[0].startTimeUnixNano STAMP_NS
-- optional: resourceSpans[0].instrumentationLibrarySpans[0].spans[0].startTimeUnixNano STAMP_NS
-- optional: resourceMetrics JSON
-- optional: resourceLogs JSON
WITH RECURSIVE batches AS (
    SELECT
        line_no,
        "resourceSpans" AS readable,
        COALESCE(
            "resourceSpans[0].scopeSpans[0].spans[0].startTimeUnixNano",
            "resourceSpans[0].instrumentationLibrarySpans[0].spans[0].startTimeUnixNano"
        ) AS first_s,
        FROM_JSON(
            "resourceSpans",
            '[{"resource":{"attributes":[{"key":"VARCHAR","value":{"stringValue":"VARCHAR"}}]},'
            '"scopeSpans":[{"spans":['
            '{"traceId":"VARCHAR","spanId":"VARCHAR","parentSpanId":"VARCHAR","startTimeUnixNano":"BIGINT","endTimeUnixNano":"BIGINT","attributes'
            '":[{"key":"VARCHAR","value":{"stringValue":"VARCHAR","intValue":"VARCHAR","doubleValue":"VARCHAR"}}],"status":{"code":"VARCHAR","message":"VARCHAR"}}'
            ']}],"instrumentationLibrarySpans":[{"spans":['
            '{"traceId":"VARCHAR","spanId":"VARCHAR","parentSpanId":"VARCHAR","startTimeUnixNano":"BIGINT","endTimeUnixNano":"BIGINT","attributes'
            '":[{"key":"VARCHAR","value":{"stringValue":"VARCHAR","intValue":"VARCHAR","doubleValue":"VARCHAR"}}],"status":{"code":"VARCHAR","message":"VARCHAR"}}'
            ']}]}]'
        ) AS batch
    FROM log
    WHERE "resourceSpans" IS NOT NULL OR ("resourceMetrics" IS NULL AND "resourceLogs" IS NULL)
),

-- Instants of a line are counted from its first span, of which the clock is known.
groups AS (
    SELECT
        line_no,
        readable IS NOT NULL AS readable,
        first_s,
        COALESCE(
            batch[1].scopeSpans[1].spans[1].startTimeUnixNano,
            batch[1].instrumentationLibrarySpans[1].spans[1].startTimeUnixNano
        ) AS first_ns,
        UNNEST(COALESCE(batch, [NULL])) AS part
    FROM batches
),

spans AS (
    SELECT
        line_no,
        readable,
        first_s,
        first_ns,
        LIST_FILTER(part.resource.attributes, lambda entry: entry.key = 'service.name')[1].value.stringValue AS service_name,
        UNNEST(
            CASE
                WHEN readable THEN FLATTEN(
                    LIST_TRANSFORM(COALESCE(part.scopeSpans, part.instrumentationLibrarySpans), lambda scope: scope.spans)
                )
                ELSE [NULL]
            END
        ) AS span
    FROM groups
),

listed AS (
    SELECT
        line_no,
        readable,
        service_name,
        span.traceId AS trace_id,
        span.spanId AS span_id,
        span.parentSpanId AS parent_id,
        first_s + (span.startTimeUnixNano - first_ns) / 1e9 AS arrival_s,
        (span.endTimeUnixNano - span.startTimeUnixNano) / 1e9 AS elapsed_s,
        span.status.code AS status_code,
        span.status.message AS status_message,
        LIST_TRANSFORM(span.attributes, lambda entry: entry.key) AS attribute_keys,
        LIST_TRANSFORM(
            span.attributes,
            lambda entry: COALESCE(entry.value.stringValue, entry.value.intValue, entry.value.doubleValue)
        ) AS attribute_values
    FROM spans
),

named AS (
    SELECT
        line_no,
        readable,
        service_name,
        trace_id,
        span_id,
        parent_id,
        arrival_s,
        elapsed_s,
        status_message,
        attribute_values[LIST_POSITION(attribute_keys, 'gen_ai.operation.name')] AS operation,
        COALESCE(
            attribute_values[LIST_POSITION(attribute_keys, 'openinference.span.kind')],
            attribute_values[LIST_POSITION(attribute_keys, 'llm.request.type')]
        ) AS kind,
        COALESCE(
            attribute_values[LIST_POSITION(attribute_keys, 'gen_ai.request.model')],
            attribute_values[LIST_POSITION(attribute_keys, 'gen_ai.response.model')],
            attribute_values[LIST_POSITION(attribute_keys, 'llm.request.model')],
            attribute_values[LIST_POSITION(attribute_keys, 'llm.model_name')]
        ) AS model,
        COALESCE(
            attribute_values[LIST_POSITION(attribute_keys, 'gen_ai.conversation.id')],
            attribute_values[LIST_POSITION(attribute_keys, 'session.id')],
            attribute_values[LIST_POSITION(attribute_keys, 'langfuse.session.id')],
            attribute_values[LIST_POSITION(attribute_keys, 'traceloop.association.properties.session_id')]
        ) AS session,
        COALESCE(
            attribute_values[LIST_POSITION(attribute_keys, 'user.id')],
            attribute_values[LIST_POSITION(attribute_keys, 'enduser.id')],
            attribute_values[LIST_POSITION(attribute_keys, 'langfuse.user.id')],
            attribute_values[LIST_POSITION(attribute_keys, 'traceloop.association.properties.user_id')]
        ) AS client,
        TRY_CAST(COALESCE(
            attribute_values[LIST_POSITION(attribute_keys, 'gen_ai.usage.input_tokens')],
            attribute_values[LIST_POSITION(attribute_keys, 'gen_ai.usage.prompt_tokens')],
            attribute_values[LIST_POSITION(attribute_keys, 'llm.usage.prompt_tokens')],
            attribute_values[LIST_POSITION(attribute_keys, 'llm.token_count.prompt')]
        ) AS DOUBLE) AS request_tokens,
        TRY_CAST(COALESCE(
            attribute_values[LIST_POSITION(attribute_keys, 'gen_ai.usage.output_tokens')],
            attribute_values[LIST_POSITION(attribute_keys, 'gen_ai.usage.completion_tokens')],
            attribute_values[LIST_POSITION(attribute_keys, 'llm.usage.completion_tokens')],
            attribute_values[LIST_POSITION(attribute_keys, 'llm.token_count.completion')]
        ) AS DOUBLE) AS response_tokens,
        TRY_CAST(COALESCE(
            attribute_values[LIST_POSITION(attribute_keys, 'gen_ai.usage.cache_read.input_tokens')],
            attribute_values[LIST_POSITION(attribute_keys, 'gen_ai.usage.cache_read_input_tokens')],
            attribute_values[LIST_POSITION(attribute_keys, 'gen_ai.usage.cached_tokens')],
            attribute_values[LIST_POSITION(attribute_keys, 'llm.token_count.prompt_details.cache_read')]
        ) AS DOUBLE) AS cached_tokens,
        TRY_CAST(COALESCE(
            attribute_values[LIST_POSITION(attribute_keys, 'gen_ai.usage.reasoning.output_tokens')],
            attribute_values[LIST_POSITION(attribute_keys, 'gen_ai.usage.reasoning_tokens')],
            attribute_values[LIST_POSITION(attribute_keys, 'llm.usage.reasoning_tokens')],
            attribute_values[LIST_POSITION(attribute_keys, 'llm.token_count.completion_details.reasoning')]
        ) AS DOUBLE) AS reasoning_tokens,
        TRY_CAST(COALESCE(
            attribute_values[LIST_POSITION(attribute_keys, 'gen_ai.response.time_to_first_chunk')],
            attribute_values[LIST_POSITION(attribute_keys, 'gen_ai.latency.time_to_first_token')],
            attribute_values[LIST_POSITION(attribute_keys, 'gen_ai.server.time_to_first_token')]
        ) AS DOUBLE) AS ttft_s,
        COALESCE(
            attribute_values[LIST_POSITION(attribute_keys, 'error.type')],
            attribute_values[LIST_POSITION(attribute_keys, 'http.response.status_code')]
        ) AS error,
        COALESCE(status_code IN ('2', 'STATUS_CODE_ERROR'), FALSE)
        OR LIST_CONTAINS(attribute_keys, 'error.type') AS failed
    FROM listed
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
