-- Gaps that begin in one window of $window_ticks ticks and end in a later one: zero or one per window.
SELECT selection_id, tick - gap AS begin_tick, tick AS end_tick
FROM gaps
WHERE gap IS NOT NULL AND FLOOR((tick - gap) / $window_ticks) < FLOOR(tick / $window_ticks)
ORDER BY selection_id, tick
