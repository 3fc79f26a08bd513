-- The occupied ticks of one selection, counted from $origin_tick, in the order of `gaps` (by time), since bins of
-- many widths are counted in one pass over them; gap 0 stands for the first tick of a segment, which has none.
SELECT tick - $origin_tick AS tick, n, COALESCE(gap, 0) AS gap FROM gaps WHERE selection_id = $selection_id
