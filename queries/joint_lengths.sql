-- Request and response lengths together, each in cells of equal width in log tokens: cell = FLOOR(k · ln tokens).
SELECT
    stream_id,
    CAST(FLOOR($cells_per_e * LN(request_tokens)) AS SMALLINT) AS request_cell,
    CAST(FLOOR($cells_per_e * LN(response_tokens)) AS SMALLINT) AS response_cell,
    COUNT(*) AS n
FROM requests
WHERE NOT failed AND request_tokens > 0 AND response_tokens > 0
GROUP BY
    stream_id,
    CAST(FLOOR($cells_per_e * LN(request_tokens)) AS SMALLINT),
    CAST(FLOOR($cells_per_e * LN(response_tokens)) AS SMALLINT)
