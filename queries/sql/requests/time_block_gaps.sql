-- One selection's inter-arrival times by time block (that of their end) and by length in ticks, with the zeros
-- between requests of one tick. `time_blocks` gives the block of each slot of $slot_ticks ticks.
SELECT time_blocks.block, gaps.gap AS size, CAST(COUNT(*) AS BIGINT) AS n
FROM gaps
JOIN time_blocks ON time_blocks.slot = CAST(FLOOR(gaps.tick / $slot_ticks) AS BIGINT)
WHERE gaps.selection_id = $selection_id AND gaps.gap IS NOT NULL
GROUP BY time_blocks.block, gaps.gap
UNION ALL
SELECT time_blocks.block, CAST(0 AS BIGINT) AS size, CAST(SUM(gaps.n - 1) AS BIGINT) AS n
FROM gaps
JOIN time_blocks ON time_blocks.slot = CAST(FLOOR(gaps.tick / $slot_ticks) AS BIGINT)
WHERE gaps.selection_id = $selection_id
GROUP BY time_blocks.block
