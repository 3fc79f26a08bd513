"""Running an experiment's trials, and the folder to which each is written as it ends.

A folder holds `experiment.json` (the question, see `Question`), `trials.jsonl` (append-only, a line a trial),
`course/` (a few trials over time) and, against a real endpoint, `runs/`. Its trials are not run again:
the same question goes on where it stopped, another one is refused. Not here: what is asked and what follows
from the answers (the module of each experiment).
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import polars as pl
from msgspec import Struct, structs

from ...analysis.core.atomic_write import write_json
from ...analysis.core.errors import BurstlensError, DiskError, InputError
from ...analysis.core.option_names import option
from ...analysis.core.result import Progress, silent
from ..processes.parallel import ReportShare, each
from ..record.versioned_json import from_dict, read_versioned_json, to_dict
from ..workload.table import Workload
from .backends import MEASURES, Backend, TrialMeasurement, measures_of

LOGGER = logging.getLogger(__name__)

EXPERIMENT = "experiment.json"
"""Marks a folder as an experiment, and says what was asked."""
TRIALS = "trials.jsonl"
COURSES = "course"
RUNS = "runs"
VERSION = 1

Label = str | int | float | None
Facts = TypeVar("Facts", bound=Struct)


@dataclass(frozen=True)
class Trial:
    """One run of an experiment: its labels, and how its workload is made."""

    labels: Mapping[str, Label]
    """Setting and seed, such as `{"workload": "MAF2", "rate_rps": 0.326, "seed": 0}`."""
    make: Callable[[], Workload]
    """Called in the process that runs it; something that can be pickled."""
    course: bool = False
    """Whether to record its course over time."""


class Question(Struct, frozen=True, rename={"options": "asked"}):
    """What an experiment is about and how far it is: the content of `experiment.json`."""

    kind: str
    """`maf2`, `sweep`, `schedulers` or `responses`."""
    options: dict[str, Any]
    """Every option, in plain values (key `asked` of the file); with `engine` it identifies the question."""
    engine: dict[str, Any]
    """The backend, in plain values; only compared and shown."""
    title: str
    """What the trials ran on, for people."""
    simulated: str | None
    """Preset of the simulated engine; None for a real server."""
    synthetic: bool
    """Whether a workload came from a synthetic trace or from constants."""
    seeds: list[int]
    trials: int
    facts: dict[str, Any]
    """What was found while the trials were made, as JSON; `typed_facts` reads it."""
    notes: list[str] = []
    started_unix_s: float = 0.0
    finished: bool = False
    stopped: str | None = None
    version: int = VERSION

    def typed_facts(self, kind: type[Facts]) -> Facts:
        """Convert `facts` to the struct of the experiment's kind.

        Parameters
        ----------
        kind
            A class of `facts`, such as `SweepFacts`.

        Raises
        ------
        InputError
            If a value is missing or has another type.
        """
        try:
            return from_dict(kind, self.facts)
        except msgspec.ValidationError as fault:
            raise InputError(f"{EXPERIMENT}: facts: {fault}") from fault


class TrialLine(Struct, frozen=True):
    """A trial that has ended: a line of `trials.jsonl`."""

    number: int
    labels: dict[str, Label]
    values: dict[str, float | None]
    """By the keys of `MEASURES`."""


@dataclass(frozen=True)
class Experiment:
    """A folder, read: the question and what is known of its trials."""

    folder: Path
    question: Question
    trials: pl.DataFrame
    """One row a trial: its labels, then the keys of `MEASURES`."""
    courses: pl.DataFrame
    """Labels, `at_s` and the columns of `backends.COURSE` of the trials that recorded it."""
    labels: tuple[str, ...]


def run(
    question: Question,
    trials: Sequence[Trial],
    engine: Backend,
    folder: Path,
    *,
    workers: int = 1,
    progress: Progress = silent,
) -> Experiment:
    """Run the trials that the folder lacks, and read all of them.

    Each trial is written as it ends, so that Ctrl-C, a kill or a fault loses only what was running.

    Parameters
    ----------
    question
        What is asked.
    trials
        All trials of the question.
    engine
        What serves them.
    folder
        The experiment's folder; it may have trials of the same question.
    workers
        Number of processes; 1 if the engine serves one trial at a time.
    progress
        Called with the step and the share that is done.

    Raises
    ------
    InputError
        If the folder has another question, or a trial fails after others have ended.
    DiskError
        If the folder cannot be read or written.
    BurstlensError
        If a trial fails before any has ended.
    """
    question = _begun(structs.replace(question, trials=len(trials), started_unix_s=time.time()), folder)
    done = {_key(row.labels) for row in _rows(folder)}
    left = [(i, trial) for i, trial in enumerate(trials) if _key(trial.labels) not in done]
    stopped: str | None = "an error stopped it"
    LOGGER.info("%s: %d trials, %d of them done before", question.kind, len(trials), len(done))
    notes = list(question.notes)
    try:
        workers = 1 if engine.alone else workers
        for count, (i, measured) in enumerate(each(_serve, (engine, folder), left, workers), start=1):
            number, trial = left[i]
            _keep(folder, number, trial, measured)
            LOGGER.info("trial %d of %d ended: %s", len(done) + count, len(trials), dict(trial.labels))
            notes += [note for note in measured.notes if note not in notes]
            progress(f"{len(trials):,} trials", (len(done) + count) / max(len(trials), 1))
        stopped = None
    except KeyboardInterrupt:
        stopped = "stopped by Ctrl-C"
        raise
    except BurstlensError as fault:
        stopped = str(fault)
        ended_trials = len(_rows(folder))
        if not ended_trials:
            raise
        raise InputError(
            f"{fault.marked_text}; {ended_trials} of {len(trials)} trials are kept in {folder}, "
            "and the same command continues"
        ) from fault
    finally:
        ended = structs.replace(question, finished=stopped is None, stopped=stopped, notes=notes)
        write_json(to_dict(ended), folder / EXPERIMENT)
    return read(folder)


def read(folder: Path) -> Experiment:
    """Read an experiment's folder.

    Raises
    ------
    InputError
        If it does not have an experiment, or is damaged.
    DiskError
        If it cannot be read.
    """
    question = _question(folder)
    rows = _rows(folder)
    labels = tuple(rows[0].labels) if rows else ()
    flat = [{**row.labels, **measures_of(row.values)} for row in rows]
    schema = dict.fromkeys(MEASURES, pl.Float64)
    trials = pl.DataFrame(flat, schema_overrides=schema, infer_schema_length=None)
    courses_of = []
    for row in rows:
        path = folder / COURSES / f"{row.number}.parquet"
        if path.is_file():
            course = pl.read_parquet(path)
            courses_of.append(
                course.select(*(pl.lit(value).alias(name) for name, value in row.labels.items()), pl.all())
            )
    courses = pl.concat(courses_of, how="diagonal_relaxed") if courses_of else pl.DataFrame()
    return Experiment(folder, question, trials, courses, labels)


def run_folders(folder: Path) -> list[Path]:
    """List the run folder of each trial on a real server, in the order of `Experiment.trials`."""
    return [folder / RUNS / str(row.number) for row in _rows(folder)]


def is_experiment(folder: Path) -> bool:
    """Check whether a path is an experiment's folder."""
    return (folder / EXPERIMENT).is_file()


def at_hand(load: Workload) -> Workload:
    """Return the workload of a trial that was made before: it goes to the process that runs the trial."""
    return load


def _key(labels: Mapping[str, Label]) -> str:
    """What a trial is known by in the folder."""
    return json.dumps(dict(labels), sort_keys=True, ensure_ascii=False)


def _serve(shared: tuple[Backend, Path], piece: tuple[int, Trial], _tell: ReportShare) -> TrialMeasurement:
    """What a trial measures, given the engine and the folder of the experiment."""
    (engine, folder), (number, trial) = shared, piece
    return engine.serve(trial.make(), folder / RUNS / str(number), course=trial.course)


def _begun(question: Question, folder: Path) -> Question:
    """Make the folder, or check that it has the same question; returns the folder's question."""
    if is_experiment(folder):
        before = _question(folder)
        earlier, current = (json.loads(json.dumps(to_dict(each))) for each in (before, question))
        for what in ("kind", "asked", "engine"):
            was, now = earlier[what], current[what]
            if was != now:
                raise InputError(
                    f"{folder}: has another experiment ({_differs(what, was, now)}); name "
                    f"another folder with {option('out')}"
                )
        _mend(folder / TRIALS)
        return structs.replace(before, trials=question.trials, stopped=None)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise DiskError.unwritable(folder, fault) from fault
    write_json(to_dict(question), folder / EXPERIMENT)
    return question


def _mend(path: Path) -> None:
    """End a line that a kill tore, so that it stays alone and is passed over."""
    try:
        if path.is_file() and not path.read_bytes().endswith(b"\n"):
            with path.open("a", encoding="utf-8") as file:
                file.write("\n")
    except OSError as fault:
        raise DiskError.unwritable(path, fault) from fault


def _differs(what: str, was: Any, now: Any) -> str:
    """The first thing in which two questions differ."""
    if isinstance(was, dict) and isinstance(now, dict):
        for name in {**was, **now}:
            before, after = was.get(name), now.get(name)
            if before != after:
                plain = not any(isinstance(value, dict | list) for value in (before, after))
                return f"{name}: {before!r} there, {after!r} now" if plain else f"with other {name}"
    return f"{what}: {was!r} there, {now!r} now"


def _question(folder: Path) -> Question:
    return read_versioned_json(
        folder / EXPERIMENT,
        VERSION,
        partial(from_dict, Question),
        absent=f"{folder}: has no {EXPERIMENT}, so it is not an experiment",
        wrong="is not an experiment",
    )


def _keep(folder: Path, number: int, trial: Trial, measured: TrialMeasurement) -> None:
    """Append a trial's line; its course first, so that a line always has it."""
    line = TrialLine(number, dict(trial.labels), measured.values)
    try:
        if measured.course is not None:
            (folder / COURSES).mkdir(exist_ok=True)
            measured.course.write_parquet(folder / COURSES / f"{number}.parquet")
        with (folder / TRIALS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(to_dict(line), ensure_ascii=False) + "\n")
    except OSError as fault:
        raise DiskError.unwritable(folder, fault) from fault


def _rows(folder: Path) -> list[TrialLine]:
    """The trials that have ended, in order of their number; torn lines are passed over."""
    path = folder / TRIALS
    if not path.is_file():
        return []
    rows = []
    # Bytes, not text: a kill may tear a line within a character.
    for line in path.read_bytes().splitlines():
        with suppress(msgspec.MsgspecError, UnicodeDecodeError):
            rows.append(msgspec.json.decode(line, type=TrialLine))
    return sorted(rows, key=lambda row: row.number)
