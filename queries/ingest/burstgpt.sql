-- BurstGPT, 6 columns: files 1 and 2, or any file of their layout.
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
