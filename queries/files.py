"""The SQL files, by name. Not here: running them (`duckdb`, `spark`).

`sql/requests`, `sql/lengths` and `sql/forecast` run on both engines, `sql/cluster` only on Spark: DuckDB
keeps what those ask for in arrays. `sql/ingest` holds the SELECT of each log format, which
`burstlens.analysis.logs.formats.declaration` reads.

What the SQL files may ask, all created when a trace is opened:

- `requests(stream_id, tick, arrival_s, session, request_tokens, response_tokens, elapsed_s, failed, client,
  cached_tokens, reasoning_tokens, ttft_s, reason, images, prefix, arrival_order)`: one row a request;
  `tick` = FLOOR(arrival_s / resolution_s) is a BIGINT, `prefix` the list of its prefix blocks. From `client`
  to `prefix` most logs have only NULL. `arrival_order` sorts requests by arrival, and those of one arrival
  as the logs list them: engines sort in parallel, and ORDER BY arrival_s leaves equal rows in any order.
- `streams(stream_id, service, model, n)`: the distinct pairs and their requests; `stream_id` is a small
  integer from 1, numbers may be missing.
- `selections(selection_id, service, model)`: what is characterized: everything (both NULL), each
  service (model NULL), each service and model; `members(selection_id, stream_id)` says which streams
  a selection holds. Services and models are only ever text in these two small tables.
- `segments(segment_id, start_tick, end_tick)`: contiguous parts of the record; between two is a hole.
- `ticks(stream_id, tick, n, failed)`: requests and failures per occupied tick of the stamps' clock.
- `gaps(selection_id, tick, n, gap)`: per selection and occupied tick: requests in it, and ticks since
  the selection's previous occupied one (NULL for the first of a segment). A tick with n requests
  has n − 1 inter-arrival times of zero, and its `gap`.
- `time_blocks(slot, block)`: the time block of each slot of time; callers of `time_block_` files fill it.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable

SQL = "sql"
INGEST = "ingest"


@cache
def _files() -> dict[str, Traversable]:
    """Every file but those of log formats, by its name."""
    rooms = [room for room in (resources.files(__package__) / SQL).iterdir() if room.is_dir()]
    files = [file for room in rooms if room.name != INGEST for file in room.iterdir()]
    return {file.name.removesuffix(".sql"): file for file in files if file.name.endswith(".sql")}


@cache
def sql_text(name: str) -> str:
    """Read the SQL of one question, by file name without its ending."""
    return _files()[name].read_text(encoding="utf-8")


def question_names(room: str | None = None) -> list[str]:
    """List the questions that an engine answers, sorted.

    Parameters
    ----------
    room : str, optional
        Only those of this folder; by default all but those of log formats.

    Returns
    -------
    list of str
    """
    if room is not None:
        folder = resources.files(__package__) / SQL / room
        return sorted(file.name.removesuffix(".sql") for file in folder.iterdir())
    return sorted(_files())
