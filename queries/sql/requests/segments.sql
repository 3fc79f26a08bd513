-- The contiguous segments in seconds.
SELECT
    segment_id,
    start_tick * $resolution_s AS start_s,
    end_tick * $resolution_s AS end_s
FROM segments
ORDER BY segment_id
