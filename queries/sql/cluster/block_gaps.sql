-- Inter-arrival times that end in each block of $block_ticks ticks, counted from $origin_tick: per selection their
-- number, sum and sum of squares, with the zeros between requests of one tick.
SELECT
    selection_id,
    CAST(FLOOR((tick - $origin_tick) / $block_ticks) AS INTEGER) AS block,
    CAST(SUM(n - 1) + COUNT(gap) AS DOUBLE) AS n,
    CAST(COALESCE(SUM(gap), 0) AS DOUBLE) AS gap_sum,
    COALESCE(SUM(CAST(gap AS DOUBLE) * gap), 0e0) AS gap_square_sum
FROM gaps
GROUP BY selection_id, FLOOR((tick - $origin_tick) / $block_ticks)
