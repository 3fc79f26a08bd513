-- Azure LLM inference, multimodal
-- The 2025 trace of Azure/AzurePublicDataset, with the number of images of a request; ContextTokens counts those of
-- the text and of the images.
-- reads: csv
-- arrival: TIMESTAMP
-- needs: request_tokens response_tokens
-- holds: images
-- column: TIMESTAMP STAMP_S
-- column: NumImages DOUBLE
-- column: ContextTokens DOUBLE
-- column: GeneratedTokens DOUBLE
SELECT
    "TIMESTAMP" AS arrival_s,
    $service AS service,
    CAST(NULL AS VARCHAR) AS model,
    "ContextTokens" AS request_tokens,
    "GeneratedTokens" AS response_tokens,
    FALSE AS failed,
    CAST("NumImages" AS INTEGER) AS images
FROM log
