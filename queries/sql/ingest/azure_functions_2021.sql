-- Azure Functions 2021 (MAF2)
-- Two weeks of invocations from 2021-01-31; an invocation starts at its end minus its duration.
-- reads: csv
-- day0: 2021-01-31
-- holds: elapsed_s
-- column: app UNUSED
-- column: func UNUSED
-- column: end_timestamp DOUBLE
-- column: duration DOUBLE
SELECT
    "end_timestamp" - "duration" AS arrival_s,
    'function' AS service,
    CAST(NULL AS VARCHAR) AS model,
    CAST(NULL AS VARCHAR) AS session,
    CAST(NULL AS DOUBLE) AS request_tokens,
    CAST(NULL AS DOUBLE) AS response_tokens,
    "duration" AS elapsed_s,
    FALSE AS failed
FROM log
