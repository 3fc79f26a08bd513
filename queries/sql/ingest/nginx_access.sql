-- nginx access log, JSON
-- A `log_format … escape=json` with msec, request_time and status. It holds no token counts, so it gives arrivals,
-- times and failures only. GETs (health checks, lists of models) are left out where the log has the request line.
-- reads: jsonl csv
-- arrival: msec less request_time: nginx writes the line when the request has ended
-- failures: status is 400 and more
-- holds: elapsed_s reason
-- column: msec STAMP_S
-- column: request_time DOUBLE
-- column: status DOUBLE
-- optional: request VARCHAR
-- optional: request_method VARCHAR
SELECT
    line_no,
    "msec" - "request_time" AS arrival_s,
    $service AS service,
    CAST(NULL AS VARCHAR) AS model,
    CAST(NULL AS DOUBLE) AS request_tokens,
    CAST(NULL AS DOUBLE) AS response_tokens,
    "request_time" AS elapsed_s,
    COALESCE("status" >= 400, FALSE) AS failed,
    CASE
        WHEN "status" = 499 THEN 'cancelled'
        WHEN "status" >= 400 THEN CAST(CAST("status" AS INTEGER) AS VARCHAR)
    END AS reason
FROM log
WHERE NOT REGEXP_MATCHES(COALESCE("request_method", "request", ''), '^(GET|HEAD|OPTIONS)\b')
