-- Requests of each selection in each occupied window of $window_ticks ticks, counted from tick 0, and how many
-- share their tick with an earlier one: gaps of zero.
SELECT
    selection_id,
    CAST(FLOOR(tick / $window_ticks) AS INTEGER) AS number,
    CAST(SUM(n) AS BIGINT) AS n,
    CAST(SUM(n) - COUNT(*) AS BIGINT) AS zeros
FROM gaps
GROUP BY selection_id, FLOOR(tick / $window_ticks)
