-- Requests that have a session: the session's number (in the order of its text), stamp, and seconds to the last token.
WITH named AS (
    SELECT session, ROW_NUMBER() OVER (ORDER BY session) AS session_number
    FROM requests
    WHERE session IS NOT NULL
    GROUP BY session
)
SELECT
    CAST(named.session_number AS INTEGER) AS session_number,
    requests.stream_id,
    requests.tick,
    requests.elapsed_s
FROM requests
JOIN named ON named.session = requests.session
