-- Ticks between the occupied ticks of each selection, never across a hole of the record.
WITH occupied AS (
    SELECT members.selection_id, ticks.tick, SUM(ticks.n) AS n, SUM(ticks.failed) AS failed
    FROM ticks
    JOIN members ON members.stream_id = ticks.stream_id
    GROUP BY members.selection_id, ticks.tick
),
stepped AS (
    SELECT
        selection_id,
        tick,
        n,
        failed,
        tick - LAG(tick) OVER (PARTITION BY selection_id ORDER BY tick) AS gap
    FROM occupied
)
SELECT
    selection_id,
    tick,
    CAST(n AS INTEGER) AS n,
    CAST(failed AS INTEGER) AS failed,
    CASE WHEN gap < $hole_ticks THEN gap END AS gap
FROM stepped
