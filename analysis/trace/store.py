"""Where an opened trace's rows are: in this process (DuckDB) or on a Spark cluster.

A store is chosen once, when logs are opened, and nothing above this package knows which it is. Not here: the
stores themselves (`store_duckdb`, `store_spark`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import polars as pl

from ...queries.engine import Engine
from ..logs.files.sniff import LogFile
from ..logs.load_duckdb import Loaded
from ..logs.select_sql import Reading
from ..logs.tables import Selection, Stream
from ..logs.trace_info import TraceInfo
from .bin_counts import BlockCounts, BlockGaps, Blocks
from .window_gaps import SelectionGaps, Windows


class Store(Protocol):
    """Loads logs, holds their requests, and answers what needs more than one SQL statement."""

    @property
    def engine(self) -> Engine:
        """Answers SQL about the trace."""

    @property
    def one_file(self) -> bool:
        """Whether `write_file` writes the trace; if not, `write_parts` writes it as a folder."""

    def local_copy(self, url: str, folder: Path) -> Path:
        """Stand in locally for the log at a URL.

        Parameters
        ----------
        url : str
        folder : Path
            An existing folder for the copy.

        Returns
        -------
        Path
            In `folder`, with the name, the size and the first bytes of the log.
        """

    def load(self, readings: Sequence[Reading], *, strict: bool, clock_s: float) -> Loaded:
        """Read the logs into a table of requests.

        Parameters
        ----------
        readings : sequence of Reading
        strict : bool
            Raise the first bad row as an error.
        clock_s : float
            Spark puts finer stamps on a clock of this tick, in seconds; DuckDB keeps each log's own clock.

        Returns
        -------
        Loaded
        """

    def digest(self, log: LogFile) -> str:
        """SHA-256 of a log."""

    def build(self, streams: Sequence[Stream], resolution_s: float) -> tuple[Selection, ...]:
        """Make the other tables of `burstlens.queries` from the requests.

        Parameters
        ----------
        streams : sequence of Stream
            Numbered from 1 in this order.
        resolution_s : float
            Length of a tick in seconds.

        Returns
        -------
        tuple of Selection
        """

    def requests(self, info: TraceInfo) -> pl.DataFrame:
        """Every request as a row, sorted by arrival."""

    def write_file(self, info: TraceInfo, out: Path) -> None:
        """Write the requests as one Parquet file.

        Parameters
        ----------
        info : TraceInfo
            Goes into the file's metadata.
        out : Path
        """

    def write_parts(self, info: TraceInfo, folder: Path, *, by_day: bool) -> None:
        """Write the requests as Parquet files in a folder that exists.

        Parameters
        ----------
        info : TraceInfo
        folder : Path
        by_day : bool
            One folder a day.
        """

    def window_gaps(
        self, selections: Sequence[Selection], windows: Windows, tick_s: float
    ) -> Iterator[tuple[Selection, SelectionGaps]]:
        """Count requests and gaps of each selection in each window, one selection at a time.

        Parameters
        ----------
        selections : sequence of Selection
        windows : Windows
        tick_s : float
            Length of a tick in seconds.

        Yields
        ------
        selection : Selection
        gaps : SelectionGaps
        """

    def block_counts(
        self, selections: Sequence[Selection], blocks: Blocks, widths_ticks: Sequence[float]
    ) -> Iterator[tuple[Selection, list[BlockCounts], BlockGaps]]:
        """Count each selection's requests and gaps by block.

        Parameters
        ----------
        selections : sequence of Selection
        blocks : Blocks
        widths_ticks : sequence of float
            Widths of the bins in ticks, ascending.

        Yields
        ------
        selection : Selection
        counts : list of BlockCounts
            One for each width.
        gaps : BlockGaps
        """
