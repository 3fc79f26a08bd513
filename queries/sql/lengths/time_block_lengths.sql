-- One selection's token counts by time block and side (1 request, 2 response), without failures, with zeros.
-- `time_blocks` gives the block of each slot of $slot_ticks ticks.
SELECT time_blocks.block, 1 AS side, requests.request_tokens AS size, CAST(COUNT(*) AS BIGINT) AS n
FROM requests
JOIN members ON members.stream_id = requests.stream_id
JOIN time_blocks ON time_blocks.slot = CAST(FLOOR(requests.tick / $slot_ticks) AS BIGINT)
WHERE members.selection_id = $selection_id AND NOT requests.failed AND requests.request_tokens IS NOT NULL
GROUP BY time_blocks.block, requests.request_tokens
UNION ALL
SELECT time_blocks.block, 2 AS side, requests.response_tokens AS size, CAST(COUNT(*) AS BIGINT) AS n
FROM requests
JOIN members ON members.stream_id = requests.stream_id
JOIN time_blocks ON time_blocks.slot = CAST(FLOOR(requests.tick / $slot_ticks) AS BIGINT)
WHERE members.selection_id = $selection_id AND NOT requests.failed AND requests.response_tokens IS NOT NULL
GROUP BY time_blocks.block, requests.response_tokens
