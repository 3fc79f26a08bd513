-- By stream, day, and load (the requests of all streams in the same minute): requests and failures.
WITH placed AS (
    SELECT
        stream_id,
        CAST(FLOOR(tick / $minute_ticks) AS INTEGER) AS minute,
        CAST(SUM(n) AS BIGINT) AS n,
        CAST(SUM(failed) AS BIGINT) AS failed
    FROM ticks
    GROUP BY stream_id, CAST(FLOOR(tick / $minute_ticks) AS INTEGER)
),
loads AS (
    SELECT minute, CAST(SUM(n) AS BIGINT) AS load
    FROM placed
    GROUP BY minute
)
SELECT
    placed.stream_id,
    CAST(FLOOR(placed.minute / 1440) AS BIGINT) AS day,
    loads.load,
    CAST(SUM(placed.n) AS BIGINT) AS n,
    CAST(SUM(placed.failed) AS BIGINT) AS failed
FROM placed
JOIN loads ON loads.minute = placed.minute
GROUP BY placed.stream_id, FLOOR(placed.minute / 1440), loads.load
ORDER BY placed.stream_id, day, loads.load
