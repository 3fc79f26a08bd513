"""The page of an evaluation on a GPU: stages, fitted constants, calibration, errors of the simulated engine.

The experiments have pages of their own in their folders, which are brought up to date and linked. Not here:
running anything (`burstlens.gpu.evaluate`), layout (`pages.result`).
"""

from __future__ import annotations

import contextlib
import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from ...analysis.core.errors import DiskError, InputError, relative_to_folder
from ...analysis.core.result import number, percent, silent
from ...bench.experiments.against import COMPARED, ERRORS, JUDGED, ORDERS, SUMMARY, WITHIN
from ...bench.experiments.backends import MEASURES
from ...bench.experiments.trials import is_experiment, read
from .experiment import write_experiment_page
from .result import ResultPage, Section, Table, simulated_banner, synthetic_banner, write_result_page

STAGES = {
    "profile": "Steps over batch and length, and the step time's constants",
    "calibrate": "The rate that uses the wanted share of the KV cache",
    "maf2": "BurstGPT conversation and API against MAF2 at one rate (5.1)",
    "sweep": "Shape, scale and exponent varied (5.2)",
    "schedulers": "First come, shortest and longest first (5.3)",
    "client": "What the client itself costs at a high rate",
    "simulated": "The same workloads on the simulated engine with these constants",
}
"""What each stage does, by its folder."""
EXPERIMENTS = ("maf2", "sweep", "schedulers")
UNITS = {
    "a_p_ms": "ms, of a step with prefill",
    "b_ms": "ms a prefill token",
    "c_ms": "ms, times n(2·ctx + n) of a chunk of n",
    "a_d_ms": "ms, least of any step",
    "d_us": "µs a token attended to",
    "e_us": "µs a decoding request",
    "h_ms": "ms, least of prefill, however short",
}
"""What each constant is of."""
LOADED = ("utilization.gpu [%]", "power.draw [W]", "clocks.current.sm [MHz]")
"""What `gpu.csv` tells of the card at work."""
WORST = 12
"""Steps and trials with the largest residuals that are shown; the files have all."""


def write_gpu_page(folder: Path, *, command: str = "", images: bool = True) -> Path:
    """Write `index.html` of an evaluation's folder, and the pages of the experiments in it; its path.

    What was not run, or did not end, is said. BurstlensError where there is no evaluation in `folder`, or it
    cannot be written.
    """
    plan = _json(folder / "plan.json")
    if plan is None:
        raise InputError(
            f"{folder}: has no plan.json, so it is not an evaluation; burstlens gpu-evaluate makes one"
        )
    server = _json(folder / "server.json") or {}
    pages = []
    for kind in EXPERIMENTS:
        if is_experiment(folder / kind) and read(folder / kind).trials.height:
            write_experiment_page(folder / kind, command=command, images=images)
            pages.append((STAGES[kind], f"{kind}/index.html"))
    synthetic = "A model generated the trace, and so the parameters that are varied; neither was recorded."
    page = ResultPage(
        kind="GPU evaluation",
        title=f"{plan['model']} on {plan['gpu']}",
        banners=[
            *simulated_banner(server.get("simulated"), "what is called measured below"),
            *synthetic_banner(plan["synthetic"], "Synthetic workload.", synthetic),
        ],
        facts=_facts(folder, server),
        before=[
            _stages(folder, pages),
            *_profile(folder),
            *_calibration(folder),
            *_errors(folder),
            *_client(folder),
        ],
        identity_title="Server and method",
        identity=_identity(folder, plan, server),
        files=[
            ("profile/preset.json", "the fitted preset"),
            ("gpu.csv", "use and memory each second, on a machine with nvidia-smi"),
            ("vllm.log", ""),
        ],
        further_files="a folder for each stage with its records and the server's metrics",
    )
    return write_result_page(page, folder, command=command, images=images, show=silent)


def _stages(folder: Path, pages: Sequence[tuple[str, str]]) -> Section:
    """What each stage does and how it ended, with links to the pages of experiments."""
    header = ("stage", "what it does", "ended", "found")
    return Section(
        anchor="stages",
        title="Stages",
        tables=[Table(header, [_stage(folder, name) for name in STAGES], named_rows=True)],
        links_lead="Pages of the experiments on the server:",
        links=pages,
    )


def _json(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except OSError as fault:
        raise DiskError.unreadable(path, fault) from fault
    except ValueError as fault:
        raise InputError.unparsable(path, str(fault)) from fault
    return content if isinstance(content, dict) else None


def _stage(folder: Path, name: str) -> tuple[str, str, str, str]:
    """Name, what it does, how it ended, what it said."""
    done = _json(folder / name / "stage.json")
    if done is None:
        return name, STAGES[name], "not run", ""
    return (
        name,
        STAGES[name],
        f"{done['state']}, {number(done['took_s'])} s",
        relative_to_folder(str(done["said"]), folder),
    )


def _facts(folder: Path, server: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """The few numbers for the head of the page."""
    out = [("Server", _version(server), "")]
    if fit := _json(folder / "profile" / "fit.json"):
        out += [
            ("KV cache", f"{fit['num_blocks']:,}", f"blocks of {fit['block_size']}"),
            ("Step residual p50", percent(fit["residual"]["p50"]), f"of {fit['steps']} steps"),
        ]
    if found := _json(folder / "calibrate" / "calibration.json"):
        out.append(
            ("Calibrated rate", number(found["rate_rps"]), f"requests/s at {percent(found['used'])} KV use")
        )
    if (summary := _csv(folder / "simulated" / "summary.csv", SUMMARY)) is not None:
        judged = summary.filter(pl.col("measure").is_in(JUDGED) & ~pl.col("saturated"))
        worst = judged["worst"].max()
        if isinstance(worst, float):
            out.append(("Simulated engine, worst error", percent(worst), "below saturation"))
    return out


def _profile(folder: Path) -> list[Section]:
    """Constants, and the steps that they meet worst."""
    fit, steps = _json(folder / "profile" / "fit.json"), _csv(folder / "profile" / "steps.csv")
    if fit is None or steps is None:
        return []
    residual = fit["residual"]
    constants = [(name, number(value, 4), UNITS[name]) for name, value in fit["latency"].items()]
    lead = (
        f"Fitted to {fit['steps']} steps, measured from outside. Relative residuals: mean "
        f"{percent(residual['mean'])}, median {percent(residual['p50'])}, p90 {percent(residual['p90'])}. "
        f"{fit['dropped']} prompts and batches are left out, because their steps are mixed with others. A "
        f"request to the idle server waits {number(fit['outside_ms'])} ms outside of its step: HTTP, "
        "scheduling, and sending the tokens."
    )
    columns: Columns = {
        "prefill_tokens": ("prefill tokens", _count),
        "decoding": ("decoding", _count),
        "context_tokens": ("context tokens", _count),
        "step_ms": ("measured, ms", number),
        "fitted_ms": ("fitted, ms", number),
        "residual": ("residual", percent),
    }
    worst = steps.sort(pl.col("residual").abs(), descending=True).head(WORST)
    return [
        Section(
            "constants",
            "Constants of a step",
            lead=lead,
            tables=[Table(("constant", "value", "unit"), constants, (1,))],
        ),
        _table(
            "Steps with the largest error",
            "The largest residuals; profile/steps.csv has all steps.",
            worst,
            columns,
            "steps",
        ),
    ]


def _calibration(folder: Path) -> list[Section]:
    """The trials of the search for the rate."""
    found = _json(folder / "calibrate" / "calibration.json")
    if found is None:
        return []
    missed = "" if found["reached"] else f" It was not reached: {found['why']}."
    lead = f"Trials until BurstGPT's conversation uses {percent(found['kv'])} of the KV cache.{missed}"
    columns: Columns = {
        "trial": ("trial", str),
        "scale": ("scale", number),
        "rate_rps": ("rate, 1/s", number),
        "kv_cache_use": ("KV-cache use", percent),
    }
    return [_table("Calibration", lead, pl.DataFrame(found["trials"]), columns, "calibration")]


def _errors(folder: Path) -> list[Section]:
    """How far the simulated engine is from the server."""
    summary = _csv(folder / "simulated" / "summary.csv", SUMMARY)
    each = _csv(folder / "simulated" / "errors.csv", ERRORS)
    if summary is None or each is None:
        return []
    lead = (
        "The simulated engine, with the constants above, serves the workload of each trial. The error is "
        "simulated over measured, minus 1. Below saturation, the error of mean end-to-end latency and of "
        f"throughput should be within {percent(WITHIN)}."
    )
    summary_columns: Columns = {
        "experiment": ("experiment", str),
        "saturated": ("load", lambda saturated: "saturated" if saturated else "below saturation"),
        "measure": ("measure", _words),
        "trials": ("trials", _count),
        "mean_error": ("mean error", percent),
        "mean_size": ("mean size", percent),
        "worst": ("worst", percent),
        "within": (f"within {percent(WITHIN)}", percent),
    }
    trial: Columns = {
        "experiment": ("experiment", str),
        "setting": ("setting", str),
        "seed": ("seed", str),
        "measured": ("measured, s", number),
        "simulated": ("simulated, s", number),
        "error": ("error", percent),
    }
    trials = each.filter(pl.col("measure") == COMPARED[0])
    latency = trials.drop_nulls("error")
    if unanswered := trials.height - latency.height:
        lead += (
            f" {unanswered} of {trials.height} trials are not compared: nothing was answered on the "
            "server or on the simulated engine."
        )
    worst = latency.sort(pl.col("error").abs(), descending=True).head(WORST)
    found = [_table("The simulated engine against the server", lead, summary, summary_columns, "errors")]
    if worst.height:
        by = "By mean end-to-end latency; simulated/errors.csv has all trials and measures."
        found.append(_table("Trials with the largest error", by, worst, trial, "trials"))
    orders = _csv(folder / "simulated" / "orders.csv", ORDERS)
    if orders is not None and orders.height:
        lead = (
            "Best first; ≈ joins orders that differ within noise. "
            f"{int(orders['same'].sum())} of {orders.height} agree."
        )
        order: Columns = {
            "service": ("service", str),
            "measure": ("measure", _words),
            "measured": ("on the server", str),
            "simulated": ("simulated", str),
            "same": ("", lambda same: "agree" if same else "contradict each other"),
        }
        found.append(_table("Order of the schedulers", lead, orders, order, "orders"))
    return found


def _client(folder: Path) -> list[Section]:
    """What the client itself cost."""
    found = _json(folder / "client" / "client.json")
    if found is None:
        return []
    lead = (
        f"{found['requests']:,} short requests at Poisson instants, sent from the machine of the server, "
        f"which has {found['cores']} cores. The start of the workers counts too."
    )
    columns: Columns = {
        "workers": ("workers", str),
        "rate_rps": ("rate, 1/s", number),
        "cpu_s_per_1000": ("processor s per 1,000 requests", number),
        "lateness_p50_s": ("lateness p50, ms", _ms),
        "lateness_p99_s": ("p99, ms", _ms),
        "lateness_max_s": ("worst, ms", _ms),
    }
    return [_table("The client's own cost", lead, pl.DataFrame(found["runs"]), columns, "client")]


Columns = dict[str, tuple[str, Callable[[Any], str]]]
"""By column of a frame: its heading, and how a cell is written."""


def _table(title: str, lead: str, frame: pl.DataFrame, columns: Columns, anchor: str) -> Section:
    """Some columns of a frame as a section of the page."""
    rows = [
        tuple("" if row[name] is None else say(row[name]) for name, (_, say) in columns.items())
        for row in frame.iter_rows(named=True)
    ]
    numeric = tuple(
        i for i, name in enumerate(columns) if frame.schema[name].is_numeric() and columns[name][1] is not str
    )
    table = Table(tuple(heading for heading, _ in columns.values()), rows, numeric)
    return Section(anchor, title, lead=lead, tables=[table])


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _ms(seconds: float) -> str:
    return number(1000 * seconds)


def _words(measure: str) -> str:
    return MEASURES[measure][0]


def _under_load(path: Path) -> str | None:
    """Power and clock of the GPU while it worked; None where no sample tells them.

    A card at its power limit lowers its clock: a step of prefill then takes longer than a short probe says.
    """
    samples = []
    try:
        with path.open(encoding="utf-8", errors="replace", newline="") as file:
            for row in csv.DictReader(file, skipinitialspace=True):
                # Every stage that was run adds a header of its own, and its last line may be torn.
                with contextlib.suppress(TypeError, ValueError, KeyError):
                    samples.append(tuple(float(row[name]) for name in LOADED))
    except OSError:
        return None
    worked = [(power_w, clock_mhz) for use, power_w, clock_mhz in samples if use > 0]
    if not worked:
        return None
    power, clock = zip(*worked, strict=True)
    return f"up to {max(power):,.0f} W, clock {min(clock):,.0f} to {max(clock):,.0f} MHz (gpu.csv)"


def _identity(folder: Path, plan: Mapping[str, Any], server: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What was asked of what, as label and text; no path of the machine that it ran on."""
    under_load = _under_load(folder / "gpu.csv")
    command = " ".join(_place(word, folder) for word in server.get("command") or [])
    functions = "synthetic" if plan["functions"] is None else _place(plan["functions"], folder)
    weights = "Llama-2-13b's shape, dummy" if plan["weights"] is None else _place(plan["weights"], folder)
    lines = [
        ("GPU", str(plan["gpu"])),
        *([("GPU under load", under_load)] if under_load else []),
        ("Server", _version(server)),
        ("Started with", command or f"already running at {server.get('url')}"),
        ("Weights", weights),
        ("Trace", _place(plan["trace"], folder) + (", synthetic" if plan["synthetic"] else "")),
        ("Azure Functions", functions),
    ]
    shown = ("kv", "requests", "seeds", "shapes", "scales", "exponents", "client_rps", "rounds", "timeout_s")
    return [*lines, *((name, _text(plan[name])) for name in shown)]


def _place(word: str, folder: Path) -> str:
    """A path inside of the folder as a relative one, any other absolute path as its last part."""
    inside = relative_to_folder(word, folder)
    return Path(inside).name if Path(inside).is_absolute() else inside


def _version(server: Mapping[str, Any]) -> str:
    version = str(server.get("version") or "of a version not known")
    return version if server.get("simulated") else f"vLLM {version}"


def _text(value: Any) -> str:
    return (
        ", ".join(map(str, value))
        if isinstance(value, Sequence) and not isinstance(value, str)
        else str(value)
    )


def _csv(path: Path, schema: Mapping[str, type[pl.DataType]] | None = None) -> pl.DataFrame | None:
    """A table of a stage, None where it is not there; with a schema also where nothing in it was measured."""
    try:
        return pl.read_csv(path, schema_overrides=schema)
    except FileNotFoundError:
        return None
    except OSError as fault:
        raise DiskError.unreadable(path, fault) from fault
    except pl.exceptions.PolarsError as fault:
        raise InputError.unparsable(path, str(fault)) from fault
