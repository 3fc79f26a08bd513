-- Azure LLM inference
-- The 2023 and 2024 traces of Azure/AzurePublicDataset: 100 ns stamps; day 0 is the first stamp's date,
-- on the log's own clock; only the file's name gives the service.
-- reads: csv
-- arrival: TIMESTAMP
-- not: NumImages
-- needs: request_tokens response_tokens
-- column: TIMESTAMP INSTANT
-- column: ContextTokens DOUBLE
-- column: GeneratedTokens DOUBLE
SELECT
    ("TIMESTAMP" - $day0_ns) / 1e9 AS arrival_s,
    $service AS service,
    CAST(NULL AS VARCHAR) AS model,
    CAST(NULL AS VARCHAR) AS session,
    "ContextTokens" AS request_tokens,
    "GeneratedTokens" AS response_tokens,
    CAST(NULL AS DOUBLE) AS elapsed_s,
    FALSE AS failed
FROM log
