-- Per selection the clients that sent requests, the requests that name one, and those of the busiest client.
WITH sent AS (
    SELECT members.selection_id, requests.client, COUNT(*) AS n
    FROM requests
    JOIN members ON members.stream_id = requests.stream_id
    WHERE requests.client IS NOT NULL
    GROUP BY members.selection_id, requests.client
)
SELECT
    selection_id,
    CAST(COUNT(*) AS BIGINT) AS clients,
    CAST(SUM(n) AS BIGINT) AS clients_of,
    CAST(MAX(n) AS BIGINT) AS busiest
FROM sent
GROUP BY selection_id
ORDER BY selection_id
