-- What a Gamma fit needs besides window_cells, by selection and window: number, sum and sum of logs of the gaps
-- of 16 ticks and more, and the sum of squares of all gaps.
SELECT
    selection_id,
    CAST(FLOOR((tick - gap) / $window_ticks) AS INTEGER) AS number,
    CAST(SUM(CASE WHEN gap >= 16 THEN 1 ELSE 0 END) AS DOUBLE) AS tail_n,
    SUM(CASE WHEN gap >= 16 THEN CAST(gap AS DOUBLE) ELSE 0e0 END) AS tail_sum,
    SUM(CASE WHEN gap >= 16 THEN LN(gap) ELSE 0e0 END) AS tail_log_sum,
    SUM(CAST(gap AS DOUBLE) * gap) AS square_sum
FROM gaps
WHERE gap IS NOT NULL
GROUP BY selection_id, FLOOR((tick - gap) / $window_ticks)
