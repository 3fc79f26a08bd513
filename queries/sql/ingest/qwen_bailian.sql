-- Qwen-Bailian
-- The traces of alibaba-edu/qwen-bailian-usagetraces-anon: seconds since the start of the trace, one object a line.
-- `hash_ids` are the prefix blocks, of 16 tokens unless the file's name says otherwise (blksz_16). A session is the
-- chat that all its turns go back to by parent_chat_id; the service is the request's type.
-- reads: jsonl
-- arrival: timestamp
-- needs: request_tokens response_tokens
-- holds: session prefix
-- block_tokens: 16
-- column: chat_id VARCHAR
-- column: parent_chat_id VARCHAR
-- column: timestamp STAMP_S
-- column: input_length DOUBLE
-- column: output_length DOUBLE
-- optional: type VARCHAR
-- optional: turn UNUSED
-- optional: hash_ids BLOCKS
WITH RECURSIVE chats AS (
    SELECT "chat_id" AS chat, ANY_VALUE("parent_chat_id") AS parent FROM log WHERE "chat_id" IS NOT NULL GROUP BY "chat_id"
),

-- A parent that the file does not hold stands for the session too.
sessions AS (
    SELECT chats.chat, CASE WHEN chats.parent = '-1' THEN chats.chat ELSE COALESCE(chats.parent, chats.chat) END AS root
    FROM chats
    LEFT JOIN chats AS parents ON chats.parent = parents.chat
    WHERE parents.chat IS NULL
    UNION ALL
    SELECT chats.chat, sessions.root
    FROM sessions
    INNER JOIN chats ON chats.parent = sessions.chat
)

SELECT
    line_no,
    "timestamp" AS arrival_s,
    COALESCE("type", $service) AS service,
    CAST(NULL AS VARCHAR) AS model,
    sessions.root AS session,
    "input_length" AS request_tokens,
    "output_length" AS response_tokens,
    FALSE AS failed,
    "hash_ids" AS prefix
FROM log
LEFT JOIN sessions ON log."chat_id" = sessions.chat
