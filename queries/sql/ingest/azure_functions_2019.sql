-- Azure Functions 2019 (MAF1)
-- Invocations per function and minute of one day, from 2019-07-15 (file d01) on; the day is in the file's
-- name. burstlens spreads the counts evenly inside their minute; each function and minute has its own
-- phase (multiples of the plastic number's reciprocals, which fill the minute evenly over all functions).
-- reads: csv
-- day0: 2019-07-15
-- spread: yes
-- column: HashOwner UNUSED
-- column: HashApp UNUSED
-- column: HashFunction UNUSED
-- column: Trigger UNUSED
-- column: 1..1440 COUNT
WITH numbered AS (
    SELECT ROW_NUMBER() OVER () AS function_id, * FROM log
),
minutes AS (
    SELECT
        function_id,
        CAST(minute AS INTEGER) AS minute,
        CAST(n AS INTEGER) AS n
    FROM numbered UNPIVOT (n FOR minute IN (COLUMNS(* EXCLUDE (function_id))))
    WHERE n > 0
),
phased AS (
    SELECT minute, n, function_id * 0.7548776662466927e0 + minute * 0.5698402909980532e0 AS turns FROM minutes
),
called AS (
    SELECT minute, n, turns - FLOOR(turns) AS phase, UNNEST(RANGE(n)) AS i FROM phased
)
SELECT
    $day_index * 86400.0 + (minute - 1) * 60.0 + FLOOR((i + phase) / n * 60000) / 1000 AS arrival_s,
    'function' AS service,
    CAST(NULL AS VARCHAR) AS model,
    CAST(NULL AS VARCHAR) AS session,
    CAST(NULL AS DOUBLE) AS request_tokens,
    CAST(NULL AS DOUBLE) AS response_tokens,
    CAST(NULL AS DOUBLE) AS elapsed_s,
    FALSE AS failed
FROM called
