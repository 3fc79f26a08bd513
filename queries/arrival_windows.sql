-- Gaps of each selection and window by size: 1 to 15 ticks one by one, longer ones in half octaves
-- (cell 16 holds 16 to 22 ticks, cell 17 holds 23 to 31, ...), with the sums that a Gamma fit needs.
-- Gaps of zero, between requests of one tick, are told by window_counts.
-- A gap is counted in the window in which it begins, also where it ends in a later one (those are told
-- one by one in border_gaps), so a window has as many gaps as requests, but for the last before a hole.
-- Squares and logs are summed as whole numbers, so that the order of rows never shows in the last digit;
-- wide numbers are slow, so only the squares that need them get them.
WITH begun AS (
    SELECT
        selection_id,
        CAST(FLOOR((tick - gap) / $window_ticks) AS INTEGER) AS window_id,
        CASE
            WHEN gap < 16 THEN CAST(gap AS INTEGER)
            ELSE 16 + CAST(FLOOR(2 * LN(gap / 16.0) / LN(2.0) + 1e-9) AS INTEGER)
        END AS cell,
        gap
    FROM gaps
    WHERE gap IS NOT NULL AND selection_id >= $first_selection AND selection_id <= $last_selection
)
SELECT
    selection_id,
    window_id,
    cell,
    CAST(COUNT(*) AS BIGINT) AS n,
    CAST(SUM(gap) AS DOUBLE) AS gap_sum,
    CAST(SUM(CASE WHEN gap < 1000000 THEN gap * gap ELSE 0 END) AS DOUBLE)
        + COALESCE(
            CAST(SUM(CASE WHEN gap >= 1000000 THEN CAST(CAST(gap AS DOUBLE) * gap AS DECIMAL(38, 0)) END) AS DOUBLE),
            0
        ) AS gap_square_sum,
    CAST(SUM(CASE WHEN gap < 2 THEN 0 ELSE CAST(ROUND(LN(gap) * 1e9) AS BIGINT) END) AS DOUBLE) / 1e9
        AS gap_log_sum
FROM begun
GROUP BY selection_id, window_id, cell
