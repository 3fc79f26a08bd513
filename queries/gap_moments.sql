-- Inter-arrival times of each selection and block of $block_ticks ticks, the zeros between requests of one
-- tick included: how many, their sum and their sum of squares; a gap belongs to the block where it ends.
SELECT
    selection_id,
    CAST(FLOOR((tick - $origin_tick) / $block_ticks) AS INTEGER) AS block_id,
    CAST(SUM(n - 1) + COUNT(gap) AS BIGINT) AS n,
    COALESCE(CAST(SUM(gap) AS DOUBLE), 0) AS gap_sum,
    COALESCE(CAST(SUM(CAST(CAST(gap AS DOUBLE) * gap AS DECIMAL(38, 0))) AS DOUBLE), 0) AS gap_square_sum
FROM gaps
GROUP BY selection_id, FLOOR((tick - $origin_tick) / $block_ticks)
