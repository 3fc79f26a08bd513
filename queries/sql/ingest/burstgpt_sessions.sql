-- BurstGPT, 8 columns
-- File 3 of HPMLL/BurstGPT: with Session ID (conversations only) and Elapsed time.
-- reads: csv
-- day0: 2023-11-01
-- failures: Response tokens is 0
-- needs: model request_tokens response_tokens
-- holds: session elapsed_s
-- column: Timestamp DOUBLE
-- column: Session ID VARCHAR
-- column: Elapsed time DOUBLE
-- column: Model VARCHAR
-- column: Request tokens DOUBLE
-- column: Response tokens DOUBLE
-- column: Total tokens UNUSED
-- column: Log Type VARCHAR
SELECT
    "Timestamp" AS arrival_s,
    CASE "Log Type" WHEN 'Conversation log' THEN 'conversation' WHEN 'API log' THEN 'api' ELSE "Log Type" END AS service,
    "Model" AS model,
    "Session ID" AS session,
    "Request tokens" AS request_tokens,
    "Response tokens" AS response_tokens,
    "Elapsed time" AS elapsed_s,
    "Response tokens" = 0 AS failed
FROM log
