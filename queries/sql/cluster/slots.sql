-- First and last occupied tick of each slot of $slot_ticks ticks: inside a slot no gap is that long.
SELECT
    CAST(FLOOR(tick / $slot_ticks) AS BIGINT) AS slot,
    MIN(tick) AS first_tick,
    MAX(tick) AS last_tick
FROM requests
GROUP BY FLOOR(tick / $slot_ticks)
ORDER BY slot
