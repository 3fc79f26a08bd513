-- One selection's gaps by the window of $window_ticks ticks in which they begin and by size: a cell for each size
-- of 1 to 15 ticks, half octaves above (cell 16 is 16 to 22 ticks, cell 17 is 23 to 31, …). Gaps of zero, between
-- requests of one tick, are in window_counts.
SELECT number, cell, CAST(COUNT(*) AS INTEGER) AS n
FROM (
    SELECT
        CAST(FLOOR((tick - gap) / $window_ticks) AS INTEGER) AS number,
        CASE
            WHEN gap < 16 THEN CAST(gap AS SMALLINT)
            ELSE CAST(16 + FLOOR(2 * LN(gap / 16.0) / LN(2.0) + 1e-12) AS SMALLINT)
        END AS cell
    FROM gaps
    WHERE selection_id = $selection_id AND gap IS NOT NULL
) AS begun
GROUP BY number, cell
