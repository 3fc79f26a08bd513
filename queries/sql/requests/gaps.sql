-- Per selection and occupied tick: its requests, and ticks since the selection's previous occupied tick in the
-- same segment (NULL for the first). Sorting goes by slots of $slot_ticks ticks, because one machine may be too
-- small to sort a selection; the first tick of a slot follows the last tick of the slot before.
WITH occupied AS (
    SELECT
        members.selection_id,
        CAST(FLOOR(ticks.tick / $slot_ticks) AS BIGINT) AS slot,
        ticks.tick,
        CAST(SUM(ticks.n) AS INTEGER) AS n
    FROM ticks
    JOIN members ON members.stream_id = ticks.stream_id
    GROUP BY members.selection_id, ticks.tick
),
slots AS (
    SELECT selection_id, slot, MAX(tick) AS last_tick
    FROM occupied
    GROUP BY selection_id, slot
),
chained AS (
    SELECT selection_id, slot, LAG(last_tick) OVER (PARTITION BY selection_id ORDER BY slot) AS last_before
    FROM slots
),
stepped AS (
    SELECT
        occupied.selection_id,
        occupied.tick,
        occupied.n,
        COALESCE(
            LAG(occupied.tick) OVER (PARTITION BY occupied.selection_id, occupied.slot ORDER BY occupied.tick),
            chained.last_before
        ) AS before
    FROM occupied
    JOIN chained ON chained.selection_id = occupied.selection_id AND chained.slot = occupied.slot
)
SELECT
    stepped.selection_id,
    stepped.tick,
    stepped.n,
    CASE WHEN stepped.before >= segments.start_tick THEN stepped.tick - stepped.before END AS gap
FROM stepped
JOIN segments ON stepped.tick >= segments.start_tick AND stepped.tick <= segments.end_tick
