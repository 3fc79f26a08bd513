-- First and last occupied tick of each slot of $slot_ticks ticks: no silence of that length lies inside a slot.
SELECT
    CAST(FLOOR(tick / $slot_ticks) AS BIGINT) AS slot,
    MIN(tick) AS first_tick,
    MAX(tick) AS last_tick
FROM requests
GROUP BY FLOOR(tick / $slot_ticks)
ORDER BY slot
