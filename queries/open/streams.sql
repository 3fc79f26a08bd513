-- The distinct pairs of service and model, numbered in a stable order.
SELECT
    CAST(ROW_NUMBER() OVER (ORDER BY service, model NULLS FIRST) AS SMALLINT) AS stream_id,
    service,
    model,
    n
FROM (SELECT service, model, COUNT(*) AS n FROM trace GROUP BY service, model) AS pairs
