-- Contiguous stretches of the record: a silence of at least $hole_ticks over all streams is a hole.
WITH occupied AS (
    SELECT DISTINCT tick FROM ticks
),
stepped AS (
    SELECT tick, tick - LAG(tick) OVER (ORDER BY tick) AS gap FROM occupied
),
numbered AS (
    SELECT tick, SUM(CASE WHEN gap >= $hole_ticks THEN 1 ELSE 0 END) OVER (ORDER BY tick) AS segment
    FROM stepped
)
SELECT
    CAST(segment AS INTEGER) AS segment_id,
    MIN(tick) AS start_tick,
    MAX(tick) AS end_tick
FROM numbered
GROUP BY segment
ORDER BY segment
