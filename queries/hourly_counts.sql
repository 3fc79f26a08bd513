-- Requests and failures per stream in each occupied window of $window_s seconds since midnight of day 0.
SELECT
    stream_id,
    CAST(FLOOR((tick + 0.5) * $resolution_s / $window_s) AS BIGINT) AS slot,
    CAST(SUM(n) AS BIGINT) AS n,
    CAST(SUM(failed) AS BIGINT) AS failed
FROM ticks
GROUP BY stream_id, FLOOR((tick + 0.5) * $resolution_s / $window_s)
ORDER BY stream_id, slot
