-- Requests of each selection in each window of $window_ticks ticks, counted from tick 0, and how many of them
-- share their tick with one before: gaps of zero. Occupied windows only.
SELECT
    selection_id,
    window_id,
    CAST(SUM(n) AS BIGINT) AS n,
    CAST(SUM(n) - COUNT(*) AS BIGINT) AS zero_gaps
FROM (SELECT selection_id, CAST(FLOOR(tick / $window_ticks) AS INTEGER) AS window_id, n FROM gaps) AS placed
GROUP BY selection_id, window_id
