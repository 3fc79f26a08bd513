-- Requests per bin of $width_ticks ticks, counted from $origin_tick: per selection and block of
-- $block_bins bins, how many bins are occupied, and sum, sum of squares and maximum of their counts.
-- Bins that a segment of the record holds only in part are left out; empty bins add nothing here, and
-- how many of them there are the segments tell.
WITH counted AS (
    SELECT selection_id, bin, CAST(SUM(n) AS BIGINT) AS n
    FROM (
        SELECT selection_id, CAST(FLOOR((tick - $origin_tick) / $width_ticks) AS INTEGER) AS bin, n FROM gaps
    ) AS placed
    GROUP BY selection_id, bin
),
whole AS (
    SELECT
        CEIL((start_tick - $origin_tick) / $width_ticks) AS first_bin,
        FLOOR((end_tick + 1 - $origin_tick) / $width_ticks) - 1 AS last_bin
    FROM segments
)
SELECT
    counted.selection_id,
    CAST(FLOOR(counted.bin / $block_bins) AS INTEGER) AS block_id,
    CAST(COUNT(*) AS BIGINT) AS occupied,
    CAST(SUM(counted.n) AS BIGINT) AS n,
    CAST(SUM(counted.n * counted.n) AS DOUBLE) AS n_square_sum,
    CAST(MAX(counted.n) AS BIGINT) AS peak
FROM counted
JOIN whole ON counted.bin >= whole.first_bin AND counted.bin <= whole.last_bin
GROUP BY counted.selection_id, FLOOR(counted.bin / $block_bins)
