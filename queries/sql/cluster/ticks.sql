-- Requests and failures by stream and occupied tick of the stamps' clock.
SELECT
    stream_id,
    tick,
    CAST(COUNT(*) AS INTEGER) AS n,
    CAST(SUM(CASE WHEN failed THEN 1 ELSE 0 END) AS INTEGER) AS failed
FROM requests
GROUP BY stream_id, tick
