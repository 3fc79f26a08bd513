-- Requests per bin of $width_ticks ticks, counted from $origin_tick: per selection and block of $block_bins bins,
-- sum, sum of squares and maximum of the counts. Only bins that lie completely in a segment count. Empty bins
-- add nothing to these sums; the segments give their number.
-- No WITH here: the SQL of `gaps` has one, and inside another WITH Spark would not find the cached rows of `gaps`.
SELECT
    counted.selection_id,
    CAST(FLOOR(counted.bin / $block_bins + 1e-9) AS INTEGER) AS block,
    CAST(SUM(counted.n) AS DOUBLE) AS n,
    CAST(SUM(counted.n * counted.n) AS DOUBLE) AS n_square_sum,
    CAST(MAX(counted.n) AS DOUBLE) AS peak
FROM (
    SELECT
        selection_id,
        FLOOR((tick - $origin_tick) / $width_ticks) AS bin,
        CAST(SUM(n) AS BIGINT) AS n
    FROM gaps
    GROUP BY selection_id, FLOOR((tick - $origin_tick) / $width_ticks)
) AS counted
JOIN (
    SELECT
        CEIL((start_tick - $origin_tick) / $width_ticks) AS first_bin,
        FLOOR((end_tick + 1 - $origin_tick) / $width_ticks) - 1 AS last_bin
    FROM segments
) AS whole ON counted.bin >= whole.first_bin AND counted.bin <= whole.last_bin
GROUP BY counted.selection_id, FLOOR(counted.bin / $block_bins + 1e-9)
