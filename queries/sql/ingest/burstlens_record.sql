-- burstlens record
-- What `burstlens replay` wrote, one object per request: it arrived when it was sent, and its lengths are the
-- server's count. A request that was never sent has no arrival and goes to the rejects. If a shard's clock was
-- behind, its instants are moved by that difference.
-- reads: jsonl
-- failures: outcome is neither ok nor truncated
-- holds: session elapsed_s ttft_s reason
-- column: request_id UNUSED
-- optional: worker UNUSED
-- optional: service VARCHAR
-- optional: model VARCHAR
-- optional: session VARCHAR
-- optional: turn UNUSED
-- column: intended_s UNUSED
-- column: sent_s DOUBLE
-- optional: first_token_s DOUBLE
-- column: ended_s DOUBLE
-- optional: waited_s UNUSED
-- column: request_tokens_asked DOUBLE
-- optional: response_tokens_asked UNUSED
-- optional: request_tokens DOUBLE
-- optional: response_tokens DOUBLE
-- column: outcome VARCHAR
-- optional: status DOUBLE
-- optional: error UNUSED
-- optional: tries UNUSED
-- optional: gaps_s UNUSED
-- optional: gap_tokens UNUSED
SELECT
    "sent_s" + $behind_s AS arrival_s,
    COALESCE("service", $service) AS service,
    "model" AS model,
    "session" AS session,
    COALESCE("request_tokens", "request_tokens_asked") AS request_tokens,
    CASE WHEN "outcome" IN ('ok', 'truncated') THEN "response_tokens" ELSE COALESCE("response_tokens", 0) END AS response_tokens,
    "ended_s" - "sent_s" AS elapsed_s,
    "outcome" NOT IN ('ok', 'truncated') AS failed,
    "first_token_s" - "sent_s" AS ttft_s,
    CASE
        WHEN "status" >= 400 THEN CAST(CAST("status" AS INTEGER) AS VARCHAR)
        WHEN "outcome" = 'aborted' THEN 'cancelled'
        ELSE "outcome"
    END AS reason
FROM log
