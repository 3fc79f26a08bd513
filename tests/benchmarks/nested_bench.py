"""Nested JSON lines: what a trace of them costs burstlens, against DuckDB pulling out the same fields.

DuckDB reads the file and writes a Parquet file; each contestant is a process of its own. The second file has
bodies with prompts in them, for the memory. Not here: the figures of plain logs (`__main__`).
"""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .figures import Figure, Measured

REQUESTS = 1_000_000
WIDE_REQUESTS = 60_000
BODY_CHARACTERS = 16_000
"""Of a wide row: some thousand tokens of prompt, and the answer."""
MAX_RATIO = 2.0
MAX_PEAK_MB = 1200

FIELDS = {
    "arrival": "startTime",
    "request_tokens": "usage.prompt_tokens",
    "response_tokens": "usage.completion_tokens",
    "cached_tokens": "usage.details.cached_tokens",
    "model": "model",
    "session": "metadata.session",
    "client": "metadata.user",
}
READ = f"import sys, burstlens; burstlens.trace(sys.argv[1], columns={FIELDS!r}).close()"
INGEST = f"import sys, burstlens; burstlens.ingest(sys.argv[1], sys.argv[2], columns={FIELDS!r})"
PULL = """
import sys, duckdb
connection = duckdb.connect()
connection.execute("SET enable_progress_bar = false")
columns = {
    "startTime": "DOUBLE",
    "usage": "STRUCT(prompt_tokens INT, completion_tokens INT, details STRUCT(cached_tokens INT))",
    "model": "VARCHAR",
    "metadata": 'STRUCT("user" VARCHAR, session VARCHAR)',
}
rows = connection.read_json(sys.argv[1], columns=columns, format="newline_delimited")
rows.select(
    'startTime, usage.prompt_tokens, usage.completion_tokens, usage.details.cached_tokens, model,'
    ' metadata.session, metadata."user"'
).write_parquet(sys.argv[2], compression="zstd")
"""


def write_log(path: Path, requests: int, body_characters: int) -> None:
    """Made-up requests of some hundred sessions, with bodies of about that many characters."""
    draw = random.Random(1)
    body = "".join(draw.choices("abcdefgh ,.", k=body_characters))
    at = 1_772_438_400.0
    with path.open("w") as file:
        for i in range(requests):
            at += round(draw.expovariate(20.0), 3)
            row = {
                "id": f"request-{i}",
                "startTime": round(at, 3),
                "model": draw.choice(("small", "large")),
                "messages": [{"role": "user", "content": body[draw.randrange(1 + body_characters // 2) :]}],
                "usage": {
                    "prompt_tokens": draw.randrange(1, 5000),
                    "completion_tokens": draw.randrange(1, 800),
                    "details": {"cached_tokens": draw.randrange(0, 64)},
                },
                "metadata": {"user": f"user-{draw.randrange(300)}", "session": f"session-{i // 6}"},
            }
            file.write(json.dumps(row) + "\n")


def measure(runs: int) -> Iterator[Figure]:
    """Seconds, CPU seconds and peak memory of both, and their ratios."""
    with tempfile.TemporaryDirectory(prefix="burstlens-bench-") as name:
        log, out = Path(name) / "nested.jsonl", Path(name) / "out.parquet"
        write_log(log, REQUESTS, 200)
        pull, read, ours = Measured(), Measured(), Measured()
        for _ in range(runs):
            pull.run(["-c", PULL, str(log), str(out)])
            read.run(["-c", READ, str(log)])
            ours.run(["-c", INGEST, str(log), str(out)])
        yield Figure("nested JSON lines pulled out and written by DuckDB, s", pull.seconds)
        yield Figure("nested JSON lines read, s", read.seconds)
        yield Figure("nested JSON lines, read over pulled out", read.seconds / pull.seconds, MAX_RATIO)
        yield Figure("nested JSON lines, read over pulled out, CPU", read.cpu_s / pull.cpu_s)
        yield Figure("nested JSON lines, ingested over pulled out", ours.seconds / pull.seconds)
        yield Figure("nested JSON lines, peak MB", max(read.peak_mb, ours.peak_mb), MAX_PEAK_MB)
        log.unlink()
        write_log(log, WIDE_REQUESTS, BODY_CHARACTERS)
        wide = Measured()
        wide.run(["-c", INGEST, str(log), str(out)])
        yield Figure(
            f"wide JSON lines, {log.stat().st_size / 1e6:,.0f} MB, peak MB", wide.peak_mb, MAX_PEAK_MB
        )
