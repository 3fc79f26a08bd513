-- Request and response lengths per time block, for intervals that allow for similar requests in one block:
-- coarse cells of log tokens, whether the request is in the range of interest, and the sums of a line.
SELECT
    stream_id,
    CAST(FLOOR((tick - $start_tick) / $block_ticks) AS INTEGER) AS block,
    CASE WHEN request_tokens >= $range_low AND request_tokens <= $range_high THEN 1 ELSE 0 END AS in_range,
    CAST(FLOOR($cells_per_e * LN(request_tokens)) AS SMALLINT) AS request_cell,
    CAST(FLOOR($cells_per_e * LN(response_tokens)) AS SMALLINT) AS response_cell,
    COUNT(*) AS n,
    SUM(CAST(request_tokens AS DOUBLE)) AS x,
    SUM(CAST(response_tokens AS DOUBLE)) AS y,
    SUM(CAST(request_tokens AS DOUBLE) * request_tokens) AS xx,
    SUM(CAST(request_tokens AS DOUBLE) * response_tokens) AS xy,
    SUM(CAST(response_tokens AS DOUBLE) * response_tokens) AS yy
FROM requests
WHERE NOT failed AND request_tokens > 0 AND response_tokens > 0
GROUP BY
    stream_id,
    CAST(FLOOR((tick - $start_tick) / $block_ticks) AS INTEGER),
    CASE WHEN request_tokens >= $range_low AND request_tokens <= $range_high THEN 1 ELSE 0 END,
    CAST(FLOOR($cells_per_e * LN(request_tokens)) AS SMALLINT),
    CAST(FLOOR($cells_per_e * LN(response_tokens)) AS SMALLINT)
