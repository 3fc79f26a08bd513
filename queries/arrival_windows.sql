-- Gaps of each selection and window by size: 0 to 15 ticks one by one, longer ones in half octaves
-- (cell 16 holds 16 to 22 ticks, cell 17 holds 23 to 31, ...), with the sums that a Gamma fit needs.
-- A gap is counted in the window in which it begins, also where it ends in a later one (those are told
-- one by one in border_gaps), so a window has as many gaps as requests, but for the last before a hole.
-- Squares and logs are summed as whole numbers, so that the order of rows never shows in the last digit.
WITH begun AS (
    SELECT
        selection_id,
        CAST(FLOOR((tick - gap) / $window_ticks) AS INTEGER) AS window_id,
        gap
    FROM gaps
    WHERE gap IS NOT NULL
),
counted AS (
    SELECT selection_id, window_id, gap, COUNT(*) AS n
    FROM begun
    GROUP BY selection_id, window_id, gap
),
sized AS (
    SELECT
        selection_id,
        window_id,
        CASE WHEN gap < 16 THEN gap ELSE 16 + FLOOR(2 * LN(gap / 16.0) / LN(2.0) + 1e-9) END AS cell,
        n,
        CAST(gap AS DOUBLE) AS gap
    FROM counted
),
together AS (
    SELECT selection_id, window_id, cell, n, gap FROM sized
    UNION ALL
    SELECT selection_id, CAST(FLOOR(tick / $window_ticks) AS INTEGER), 0, n - 1, 0 FROM gaps WHERE n > 1
)
SELECT
    selection_id,
    window_id,
    CAST(cell AS INTEGER) AS cell,
    CAST(SUM(n) AS BIGINT) AS n,
    CAST(SUM(n * gap) AS DOUBLE) AS gap_sum,
    CAST(SUM(CAST(n * gap * gap AS DECIMAL(38, 0))) AS DOUBLE) AS gap_square_sum,
    CAST(SUM(CASE WHEN gap > 0 THEN CAST(ROUND(n * LN(gap) * 1e9) AS BIGINT) ELSE 0 END) AS DOUBLE) / 1e9
        AS gap_log_sum
FROM together
GROUP BY selection_id, window_id, cell
