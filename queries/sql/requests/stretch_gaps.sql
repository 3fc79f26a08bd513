-- One selection's inter-arrival times by the stretch in which they end and by their ticks, the zeros between
-- requests of one tick included. `stretches` says which slots of $slot_ticks ticks make a stretch.
SELECT stretches.stretch, gaps.gap AS size, CAST(COUNT(*) AS BIGINT) AS n
FROM gaps
JOIN stretches ON stretches.slot = CAST(FLOOR(gaps.tick / $slot_ticks) AS BIGINT)
WHERE gaps.selection_id = $selection_id AND gaps.gap IS NOT NULL
GROUP BY stretches.stretch, gaps.gap
UNION ALL
SELECT stretches.stretch, CAST(0 AS BIGINT) AS size, CAST(SUM(gaps.n - 1) AS BIGINT) AS n
FROM gaps
JOIN stretches ON stretches.slot = CAST(FLOOR(gaps.tick / $slot_ticks) AS BIGINT)
WHERE gaps.selection_id = $selection_id
GROUP BY stretches.stretch
