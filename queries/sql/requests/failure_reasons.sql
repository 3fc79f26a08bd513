-- Failed requests per stream and reason; NULL where the log gives none. Only the $max_reasons reasons that most
-- requests give: free text may be another one in every request.
WITH failures AS (
    SELECT stream_id, reason, COUNT(*) AS n
    FROM requests
    WHERE failed
    GROUP BY stream_id, reason
),
totals AS (
    SELECT reason, SUM(n) AS n
    FROM failures
    WHERE reason IS NOT NULL
    GROUP BY reason
),
ranked AS (
    SELECT reason, ROW_NUMBER() OVER (ORDER BY n DESC, reason) AS place
    FROM totals
)
SELECT
    failures.stream_id,
    CASE WHEN ranked.place <= $max_reasons THEN failures.reason END AS reason,
    failures.reason IS NULL AS absent,
    CAST(SUM(failures.n) AS BIGINT) AS n,
    CAST(COUNT(*) AS BIGINT) AS reasons
FROM failures
LEFT JOIN ranked ON ranked.reason = failures.reason
GROUP BY
    failures.stream_id,
    CASE WHEN ranked.place <= $max_reasons THEN failures.reason END,
    failures.reason IS NULL
ORDER BY failures.stream_id, reason
