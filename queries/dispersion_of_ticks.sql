-- As `dispersion` for bins of one tick, which `gaps` already holds one a row.
SELECT
    selection_id,
    CAST(FLOOR((tick - $origin_tick) / $block_bins) AS INTEGER) AS block_id,
    CAST(COUNT(*) AS BIGINT) AS occupied,
    CAST(SUM(n) AS BIGINT) AS n,
    CAST(SUM(CAST(n AS BIGINT) * n) AS DOUBLE) AS n_square_sum,
    CAST(MAX(n) AS BIGINT) AS peak
FROM gaps
GROUP BY selection_id, FLOOR((tick - $origin_tick) / $block_bins)
