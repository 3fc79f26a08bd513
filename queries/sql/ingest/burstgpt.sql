-- BurstGPT, 6 columns
-- Files 1 and 2 of HPMLL/BurstGPT, or any log with their layout.
-- reads: csv
-- day0: 2023-11-01
-- failures: Response tokens is 0
-- needs: model request_tokens response_tokens
-- column: Timestamp DOUBLE
-- column: Model VARCHAR
-- column: Request tokens DOUBLE
-- column: Response tokens DOUBLE
-- column: Total tokens UNUSED
-- column: Log Type VARCHAR
SELECT
    "Timestamp" AS arrival_s,
    CASE "Log Type" WHEN 'Conversation log' THEN 'conversation' WHEN 'API log' THEN 'api' ELSE "Log Type" END AS service,
    "Model" AS model,
    CAST(NULL AS VARCHAR) AS session,
    "Request tokens" AS request_tokens,
    "Response tokens" AS response_tokens,
    CAST(NULL AS DOUBLE) AS elapsed_s,
    "Response tokens" = 0 AS failed
FROM log
