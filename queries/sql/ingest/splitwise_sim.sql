-- Splitwise simulator
-- Traces of Mutinifni/splitwise-sim: seconds since the start.
-- reads: csv
-- arrival: arrival_timestamp
-- needs: request_tokens response_tokens
-- column: request_type UNUSED
-- column: arrival_timestamp STAMP_S
-- column: prompt_size DOUBLE
-- column: token_size DOUBLE
SELECT
    "arrival_timestamp" AS arrival_s,
    $service AS service,
    CAST(NULL AS VARCHAR) AS model,
    "prompt_size" AS request_tokens,
    "token_size" AS response_tokens,
    FALSE AS failed
FROM log
