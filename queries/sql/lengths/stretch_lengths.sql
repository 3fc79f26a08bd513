-- One selection's token counts by stretch and side (1 request, 2 response); failures dropped, zeros not.
-- `stretches` says which slots of $slot_ticks ticks make a stretch.
SELECT stretches.stretch, 1 AS side, requests.request_tokens AS size, CAST(COUNT(*) AS BIGINT) AS n
FROM requests
JOIN members ON members.stream_id = requests.stream_id
JOIN stretches ON stretches.slot = CAST(FLOOR(requests.tick / $slot_ticks) AS BIGINT)
WHERE members.selection_id = $selection_id AND NOT requests.failed AND requests.request_tokens IS NOT NULL
GROUP BY stretches.stretch, requests.request_tokens
UNION ALL
SELECT stretches.stretch, 2 AS side, requests.response_tokens AS size, CAST(COUNT(*) AS BIGINT) AS n
FROM requests
JOIN members ON members.stream_id = requests.stream_id
JOIN stretches ON stretches.slot = CAST(FLOOR(requests.tick / $slot_ticks) AS BIGINT)
WHERE members.selection_id = $selection_id AND NOT requests.failed AND requests.response_tokens IS NOT NULL
GROUP BY stretches.stretch, requests.response_tokens
