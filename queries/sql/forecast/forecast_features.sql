-- Load per bin of $bin_ticks ticks of one selection, and what a forecast may know $lead bins before it: three
-- lags, mean and variance over three rolling windows (in bins), hour of day, day of the week, and the values
-- a day and a week before. Every window ends $lead bins before its row, inside the same segment: a bin's
-- own value and later ones are never in its features. Only bins that a segment covers completely have a row.
WITH digits AS (
    SELECT digit FROM (VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)) AS t (digit)
),
numbers AS (
    SELECT a.digit + 10 * b.digit + 100 * c.digit + 1000 * d.digit + 10000 * e.digit + 100000 * f.digit AS i
    FROM digits AS a, digits AS b, digits AS c, digits AS d, digits AS e, digits AS f
    WHERE a.digit + 10 * b.digit + 100 * c.digit + 1000 * d.digit + 10000 * e.digit + 100000 * f.digit < $max_bins
),
stretches AS (
    SELECT
        segment_id,
        CAST(CEIL(start_tick / $bin_ticks) AS BIGINT) AS first_bin,
        CAST(FLOOR((end_tick + 1) / $bin_ticks) AS BIGINT) AS end_bin
    FROM segments
),
bins AS (
    SELECT stretches.segment_id, stretches.first_bin + numbers.i AS bin
    FROM stretches
    JOIN numbers ON numbers.i < stretches.end_bin - stretches.first_bin
),
loads AS (
    SELECT
        CAST(FLOOR(requests.tick / $bin_ticks) AS BIGINT) AS bin,
        COUNT(*) AS n,
        SUM(COALESCE(request_tokens, 0) + COALESCE(response_tokens, 0)) AS tokens,
        AVG(CASE WHEN NOT failed AND request_tokens > 0 THEN request_tokens END) AS request_tokens
    FROM requests
    JOIN members ON members.stream_id = requests.stream_id
    WHERE members.selection_id = $selection_id
    GROUP BY FLOOR(requests.tick / $bin_ticks)
),
series AS (
    SELECT 1 AS target, segment_id, bins.bin, CAST(COALESCE(n, 0) AS DOUBLE) AS value
    FROM bins LEFT JOIN loads ON loads.bin = bins.bin
    UNION ALL
    SELECT 2 AS target, segment_id, bins.bin, CAST(request_tokens AS DOUBLE) AS value
    FROM bins LEFT JOIN loads ON loads.bin = bins.bin
    UNION ALL
    SELECT 3 AS target, segment_id, bins.bin, CAST(COALESCE(tokens, 0) AS DOUBLE) AS value
    FROM bins LEFT JOIN loads ON loads.bin = bins.bin
)
SELECT
    target,
    segment_id,
    bin * $bin_s AS start_s,
    value,
    LAG(value, $lead) OVER record AS lag_1,
    LAG(value, $lead + 1) OVER record AS lag_2,
    LAG(value, $lead + 2) OVER record AS lag_3,
    AVG(value) OVER short AS mean_short,
    VAR_POP(value) OVER short AS variance_short,
    AVG(value) OVER middle AS mean_middle,
    VAR_POP(value) OVER middle AS variance_middle,
    AVG(value) OVER long AS mean_long,
    VAR_POP(value) OVER long AS variance_long,
    CAST(FLOOR(bin * $bin_s / 3600) AS BIGINT) % 24 AS hour,
    (CAST(FLOOR(bin * $bin_s / 86400) AS BIGINT) + $weekday) % 7 AS weekday,
    LAG(value, $day) OVER record AS day_ago,
    LAG(value, $week) OVER record AS week_ago
FROM series
WINDOW
    record AS (PARTITION BY target, segment_id ORDER BY bin),
    short AS (PARTITION BY target, segment_id ORDER BY bin ROWS BETWEEN $lead + $short - 1 PRECEDING AND $lead PRECEDING),
    middle AS (PARTITION BY target, segment_id ORDER BY bin ROWS BETWEEN $lead + $middle - 1 PRECEDING AND $lead PRECEDING),
    long AS (PARTITION BY target, segment_id ORDER BY bin ROWS BETWEEN $lead + $long - 1 PRECEDING AND $lead PRECEDING)
ORDER BY target, start_s
