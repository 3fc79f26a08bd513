"""An evaluation on a GPU in one call: a vLLM of its own, and stage after stage, each with a time limit.

Each stage is a process that is stopped when its time is up, as by Ctrl-C: what it has measured stays, and the
same call goes on. Not here: what a stage does (`stages`), the server (`bench.server.vllm`).
"""

from __future__ import annotations

import contextlib
import json
import logging
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..analysis.core.atomic_write import write_json
from ..analysis.core.errors import BurstlensError, InputError
from ..analysis.core.exhibit import Displayable, Exhibit, marks
from ..analysis.core.option_names import option
from ..analysis.core.result import Progress, silent
from ..api.event_loop import LISTEN_S, interruptible, run_outside_event_loop
from ..api.options import Log
from ..console import STOPPED
from .config import PLAN, EvaluationConfig
from .stages import OFFLINE, STAGES

LOGGER = logging.getLogger(__name__)

if TYPE_CHECKING:
    import polars as pl

    from ..bench.server.vllm import Flags

LIMITS_S: dict[str, float] = {
    "profile": 900,
    "calibrate": 2700,
    "maf2": 3600,
    "sweep": 5400,
    "schedulers": 5400,
    "client": 600,
    "simulated": 900,
}
"""How long each stage may take."""
GRACE_S = 90.0
"""After its time is up, for what is open."""
PATIENCE_S = 1200.0
"""How long vLLM may take to come up: it compiles and captures graphs first."""
STATE = "stage.json"
SERVER = "server.json"


@dataclass(frozen=True)
class StageResult:
    """How a stage ended."""

    stage: str
    state: str
    """`done`, `time limit`, `failed` or `stopped`."""
    took_s: float
    message: str
    """What it found, or why it did not."""

    def as_dict(self) -> dict[str, Any]:
        """Make the content of `stage.json`."""
        return {"stage": self.stage, "state": self.state, "took_s": self.took_s, "said": self.message}

    @property
    def line(self) -> str:
        """For a screen."""
        return f"{self.stage}: {self.state} after {self.took_s:,.0f} s: {self.message}"


@dataclass(frozen=True)
class GpuEvaluation(Displayable):
    """What an evaluation's folder holds."""

    folder: Path
    ran: tuple[StageResult, ...] = ()
    """The stages that this call ran."""

    @property
    def stages(self) -> list[StageResult]:
        """How each stage that was run ended last, in their order."""
        return [done for name in STAGES if (done := ended(self.folder, name)) is not None]

    @property
    def errors(self) -> pl.DataFrame:
        """The simulated engine with the fitted preset against the server: columns of `against.SUMMARY`.

        Empty until the last stage has run.
        """
        import polars as pl

        from ..bench.experiments.against import SUMMARY

        path = self.folder / "simulated" / "summary.csv"
        return pl.read_csv(path, schema_overrides=SUMMARY) if path.is_file() else pl.DataFrame(schema=SUMMARY)

    def report(self, *, images: bool = True, command: str = "burstlens.gpu_evaluate()") -> Path:
        """Write the page.

        Parameters
        ----------
        images
            Whether to write its figures as files too.
        command
            The call that the page shows.

        Returns
        -------
        Path
            The page.
        """
        from ..reports.pages.gpu import write_gpu_page

        return write_gpu_page(self.folder, command=command, images=images)

    def exhibit(self) -> Exhibit:
        """Show how the stages ended; the errors of the simulated engine, then the stages, as tables."""
        import polars as pl

        rows = [done.as_dict() for done in self.stages]
        schema = {"stage": pl.String, "state": pl.String, "took_s": pl.Float64, "said": pl.String}
        tables = {"errors": self.errors, "stages": pl.DataFrame(rows, schema=schema)}
        path = self.folder / SERVER
        server = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        labels = marks(server.get("simulated"), EvaluationConfig.read(self.folder).synthetic, "trace")
        return Exhibit(f"Evaluation in {self.folder}", labels, [done.line for done in self.stages], tables)


def gpu_evaluate(
    out: Log = "reports/build/gpu",
    trace: Log | None = None,
    *,
    vllm: Log | None = None,
    url: str | None = None,
    weights: Log | None = None,
    model: str = "llama-2-13b",
    max_num_seqs: int = 256,
    max_num_batched_tokens: int = 8192,
    max_model_len: int = 4096,
    vllm_flags: str = "",
    flags: Flags | None = None,
    environment: Mapping[str, str] | None = None,
    functions: Log | None = None,
    only: Sequence[str] = (),
    limits_s: Mapping[str, float] | None = None,
    patience_s: float = PATIENCE_S,
    kv: float = 0.35,
    requests: int = 400,
    seeds: int = 3,
    vocabulary: tuple[int, int] = (256, 31_999),
    shapes: tuple[float, ...] = (0.25, 1.0),
    scales: tuple[float, ...] = (0.75, 1.5),
    exponents: tuple[float, ...] = (0.9, 1.3),
    client_rps: float = 100.0,
    client_requests: int = 3000,
    rounds: int = 3,
    timeout_s: float = 300.0,
    images: bool = True,
    command: str = "burstlens.gpu_evaluate()",
    progress: Progress | None = None,
) -> GpuEvaluation:
    """Profile a vLLM on this machine's GPU, run the paper's evaluations on it and on its model, and compare.

    Stages that the folder has already are not run again, so the same call goes on where it was stopped.

    Parameters
    ----------
    out
        Folder of everything.
    trace, functions
        A BurstGPT trace and a trace of Azure Functions; by default synthetic ones.
    vllm
        A Python that has vLLM; it starts the server.
    url
        Instead: a server that runs already, with the flags below.
    weights
        Folder of the model to serve, with dummy weights if it has none; by default Llama-2-13b's shape.
    model
        Name to serve the model under.
    max_num_seqs, max_num_batched_tokens, max_model_len
        Flags of vLLM.
    vllm_flags
        Further flags of vLLM, in one text.
    flags
        All flags as one object, instead of the four options before.
    environment
        Environment variables of the server.
    only
        Run only these stages, also if they are done.
    limits_s
        Time limits of stages, in seconds.
    patience_s
        Seconds that vLLM may take to come up.
    kv
        KV-cache use to calibrate to.
    requests, seeds
        Requests of a trial, and repetitions of each trial.
    vocabulary
        First and last token id of prompts.
    shapes, scales, exponents
        What the sweep varies to; scales are factors on the scale at the start.
    client_rps, client_requests
        Rate in requests per second, and number of requests, of the load that measures the client.
    rounds
        How often each step is measured.
    timeout_s
        Seconds after which a request is given up.
    images
        Also write each figure as SVG and PNG.
    command
        What the page says it was made by.

    Returns
    -------
    GpuEvaluation
        `.errors` has a row for each measure of how far the simulated engine is from the server, `.stages`
        says how each stage ended.

    Examples
    --------
    >>> bl.gpu_evaluate("gpu", "synthetic.csv", only=["profile"])
    Traceback (most recent call last):
    burstlens.analysis.core.errors.InputError: ...
    """
    from ..bench.server.vllm import Flags

    into = Path(out)
    own = Flags(max_num_seqs, max_num_batched_tokens, max_model_len, tuple(shlex.split(vllm_flags)))
    try:
        ran = run_outside_event_loop(
            lambda stop: evaluate(
                into,
                vllm=None if vllm is None else Path(vllm),
                url=url,
                trace=None if trace is None else str(trace),
                functions=None if functions is None else str(functions),
                weights=None if weights is None else Path(weights),
                model=model,
                flags=flags or own,
                environment=environment,
                only=only,
                limits_s=limits_s,
                patience_s=patience_s,
                kv=kv,
                requests=requests,
                seeds=seeds,
                vocabulary=vocabulary,
                shapes=shapes,
                scales=scales,
                exponents=exponents,
                client_rps=client_rps,
                client_requests=client_requests,
                rounds=rounds,
                timeout_s=timeout_s,
                progress=interruptible(progress or silent, stop),
            )
        )
    except KeyboardInterrupt:
        if (into / PLAN).is_file():
            GpuEvaluation(into).report(images=images, command=command)
        raise
    evaluation = GpuEvaluation(into, tuple(ran))
    evaluation.report(images=images, command=command)
    return evaluation


def evaluate(
    out: Path,
    *,
    vllm: Path | None = None,
    url: str | None = None,
    trace: str | None = None,
    functions: str | None = None,
    weights: Path | None = None,
    model: str = "llama-2-13b",
    flags: Flags | None = None,
    environment: Mapping[str, str] | None = None,
    only: Sequence[str] = (),
    limits_s: Mapping[str, float] | None = None,
    patience_s: float = PATIENCE_S,
    kv: float = 0.35,
    requests: int = 400,
    seeds: int = 3,
    vocabulary: tuple[int, int] = (256, 31_999),
    shapes: tuple[float, ...] = (0.25, 1.0),
    scales: tuple[float, ...] = (0.75, 1.5),
    exponents: tuple[float, ...] = (0.9, 1.3),
    client_rps: float = 100.0,
    client_requests: int = 3000,
    rounds: int = 3,
    timeout_s: float = 300.0,
    progress: Progress = silent,
) -> list[StageResult]:
    """Run the stages that `out` lacks, or those of `only` again.

    A stage that fails does not stop the others, unless the server ends.

    Parameters
    ----------
    out
        Folder of the evaluation; the same call goes on in it.
    vllm
        Python of an environment that has vLLM; the server runs for as long as stages need one.
    url
        A server that runs already, with the flags of `flags`.
    trace
        A BurstGPT trace; the embedded synthetic one if not given.
    functions
        A trace of Azure Functions.
    weights
        Folder of a model; dummy weights if not given.
    model
        Name under which the model is served.
    flags
        Flags of the server (see `bench.server.vllm.Flags`).
    environment
        Variables to add to the server's environment.
    only
        Stages to run again.
    limits_s
        Time limits by stage, in seconds.
    patience_s
        Seconds to wait until the server is up.
    kv
        Share of the KV cache that calibrated load should use.
    requests, seeds
        Requests of a trial, and repetitions.
    vocabulary
        Lowest and highest token id of prompts.
    shapes, scales, exponents
        Values of the sweep; scales are factors of its start.
    client_rps, client_requests
        Rate in requests per second, and number of requests, of the stage `client`.
    rounds
        How often the stage `profile` measures everything.
    timeout_s
        Seconds after its send at which a request is given up.
    progress
        Called with the step and the share that is done.

    Returns
    -------
    list of StageResult
        How each stage ended.

    Raises
    ------
    InputError
        If there is no such stage, no server is given, or `out` has an evaluation with other options.
    EndpointError
        If the server does not come up, or cannot take load.
    DiskError
        If the folder cannot be written.
    KeyboardInterrupt
        If a stage was stopped by Ctrl-C.
    """
    from ..bench.client.preflight import preflight
    from ..bench.server.vllm import Flags, gpu_name, metrics_page, watched_gpu
    from ..bench.server.vllm import vllm as hosted

    unknown = [name for name in (*only, *(limits_s or {})) if name not in STAGES]
    if unknown:
        raise InputError.unknown_value("only", "stage", unknown[0], list(STAGES))
    chosen = flags or Flags()
    made = EvaluationConfig(
        trace=_trace(trace, out), synthetic=trace is None, functions=functions, model=model,
        weights=None if weights is None else str(weights), gpu=gpu_name() or _gpu_of(out),
        flags=asdict(chosen), kv=kv, requests=requests, seeds=seeds, vocabulary=vocabulary, shapes=shapes,
        scales=scales, exponents=exponents, client_rps=client_rps, client_requests=client_requests,
        rounds=rounds, timeout_s=timeout_s,
    )  # fmt: skip
    made.write(out)
    left = [name for name in STAGES if name in only or (not only and state_of(out, name) != "done")]
    limits = {**LIMITS_S, **(limits_s or {})}
    with contextlib.ExitStack() as stack:
        address = url or ""
        if any(name not in OFFLINE for name in left):
            if url is None:
                if vllm is None:
                    raise InputError(
                        f"gpu-evaluate: say which Python has vLLM with {option('vllm')}, or where a server "
                        f"runs with {option('url')}"
                    )
                host = stack.enter_context(hosted(
                    vllm, weights, chosen, out, name=model, patience_s=patience_s, environment=environment,
                    progress=progress,
                ))  # fmt: skip
                address = host.url
            stack.enter_context(watched_gpu(out))
            found = preflight(made.target(address))
            write_json({
                "url": address, "version": found.version, "simulated": found.simulated, "gpu": made.gpu,
                "command": list(host.command) if url is None else None, "flags": asdict(chosen),
            }, out / SERVER)  # fmt: skip
        results: list[StageResult] = []
        for i, name in enumerate(left):
            done = _run(out, name, address, limits[name], partial(progress, f"stage {name}", i / len(left)))
            results.append(done)
            if name not in OFFLINE:
                with contextlib.suppress(BurstlensError):
                    (out / name / "metrics.txt").write_text(metrics_page(address), encoding="utf-8")
            if done.state == "stopped":
                raise KeyboardInterrupt
    return results


def _run(out: Path, name: str, url: str, limit_s: float, waiting: Callable[[], None]) -> StageResult:
    """One stage in a process of its own, and its `stage.json`; `waiting` is called while it runs."""
    into = out / name
    LOGGER.info("stage %s begins, at most %.0f s", name, limit_s)
    into.mkdir(parents=True, exist_ok=True)
    began, stopped = time.time(), False
    with (into / "stage.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "burstlens.gpu.stages", str(out), name, url or "-"],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
        state = ""
        try:
            output = _wait_for(process, limit_s, waiting)
        except subprocess.TimeoutExpired:
            state, output = "time limit", _end(process)
        except KeyboardInterrupt:
            state, stopped, output = "stopped", True, _end(process)
        if process.returncode == 0:
            state = "done"
    last = (
        output.strip().splitlines() or [f"it ended with code {process.returncode}, see {name}/stage.log"]
    )[-1]
    done = StageResult(
        name, state or ("stopped" if process.returncode == STOPPED else "failed"), time.time() - began, last
    )
    write_json(done.as_dict(), into / STATE)
    LOGGER.info("stage %s", done.line)
    return done if not stopped else StageResult(name, "stopped", done.took_s, last)


def _wait_for(process: subprocess.Popen[str], limit_s: float, waiting: Callable[[], None]) -> str:
    """What a stage says by its end; TimeoutExpired where that is not in time."""
    until = time.monotonic() + limit_s
    while True:
        waiting()
        try:
            return process.communicate(timeout=max(min(LISTEN_S, until - time.monotonic()), 0.0))[0]
        except subprocess.TimeoutExpired:
            if time.monotonic() >= until:
                raise


def _end(process: subprocess.Popen[str]) -> str:
    """Stop a stage as Ctrl-C does; what it said last."""
    process.send_signal(signal.SIGINT)
    try:
        return process.communicate(timeout=GRACE_S)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        return process.communicate()[0]


def state_of(out: Path, name: str) -> str | None:
    """Read how a stage ended last.

    Parameters
    ----------
    out
        Folder of the evaluation.
    name
        The stage.

    Returns
    -------
    str or None
        `StageResult.state`; None if it was not run.
    """
    done = ended(out, name)
    return None if done is None else done.state


def ended(out: Path, name: str) -> StageResult | None:
    """Read a stage's `stage.json`.

    Parameters
    ----------
    out
        Folder of the evaluation.
    name
        The stage.

    Returns
    -------
    StageResult or None
        None if the file is not there, or is damaged.
    """
    try:
        content = json.loads((out / name / STATE).read_text(encoding="utf-8"))
        return StageResult(message=content.pop("said"), **content)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _gpu_of(out: Path) -> str:
    """What the folder tells of the GPU, where this machine has none: stages without a server run anywhere."""
    return EvaluationConfig.read(out).gpu if (out / PLAN).is_file() else "no GPU"


def _trace(trace: str | None, out: Path) -> str:
    """The trace, or the embedded synthetic one written into the folder once."""
    if trace is not None:
        return str(Path(trace).absolute()) if Path(trace).exists() else trace
    path = out.absolute() / "synthetic.parquet"
    if not path.is_file():
        from ..api.traces import synth

        synth(path, days=61).engine.close()
    return str(path)
