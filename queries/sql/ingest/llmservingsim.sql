-- LLMServingSim
-- Requests of the simulator's data sets, JSON lines or a table with tabs: nanoseconds since the start.
-- reads: jsonl csv
-- arrival: arrival_time_ns
-- needs: request_tokens response_tokens
-- holds: session client
-- not: prompt_tokens
-- column: input_toks DOUBLE
-- column: output_toks DOUBLE
-- column: arrival_time_ns STAMP_NS
-- optional: session_id VARCHAR
-- optional: tenant VARCHAR
-- optional: model VARCHAR
SELECT
    "arrival_time_ns" AS arrival_s,
    $service AS service,
    "model" AS model,
    "session_id" AS session,
    "input_toks" AS request_tokens,
    "output_toks" AS response_tokens,
    FALSE AS failed,
    "tenant" AS client
FROM log
