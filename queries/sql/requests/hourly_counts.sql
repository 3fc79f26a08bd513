-- Requests and failures per stream in each occupied window of $window_ticks ticks, counted from tick 0.
SELECT
    stream_id,
    CAST(FLOOR(tick / $window_ticks) AS BIGINT) AS slot,
    CAST(SUM(n) AS BIGINT) AS n,
    CAST(SUM(failed) AS BIGINT) AS failed
FROM ticks
GROUP BY stream_id, FLOOR(tick / $window_ticks)
ORDER BY stream_id, slot
