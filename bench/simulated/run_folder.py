"""A run in virtual time as a run folder, like the one that the client writes.

Not here: the run itself (`virtual`) and what the folder says (`burstlens.bench.metrics.summary`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from msgspec import structs

from ...analysis.core.result import Progress, silent
from ..record.models import Manifest, RunSettings
from ..record.run_folder import begin, write_manifest, write_record
from ..workload.table import Workload, notes_on
from .presets import Preset
from .request import Scheduling
from .virtual import simulate_frame


def simulate(
    workload: Workload,
    preset: Preset,
    folder: Path,
    *,
    scheduling: Scheduling = "fcfs",
    speedup: float = 1.0,
    timeout_s: float | None = None,
    gaps: bool = False,
    notes: Sequence[str] = (),
    progress: Progress = silent,
) -> Manifest:
    """Serve a workload in virtual time and write the run folder.

    Parameters
    ----------
    workload, preset, scheduling, speedup, timeout_s, gaps, progress
        As in `simulate_frame`.
    folder
        The new run folder.
    notes
        Further notes of the manifest.

    Returns
    -------
    Manifest
        What `run.json` has.

    Raises
    ------
    InputError
        If the folder has a run already.
    DiskError
        If it cannot be written.
    """
    manifest = Manifest(
        name=workload.name,
        synthetic=workload.synthetic,
        recipe=workload.recipe,
        workload_sha256=workload.sha256,
        requests=len(workload.requests),
        url=None,
        served_model=preset.model,
        simulated=preset.name,
        server_version=None,
        settings=RunSettings(
            preset=preset.as_dict(),
            scheduling=scheduling,
            speedup=speedup,
            timeout_s=timeout_s,
            ignore_eos=True,
        ),
        started_unix_s=time.time(),
        notes=[*notes_on(workload, preset.max_model_len), *notes],
    )
    begin(folder, manifest, workload)
    record, server = simulate_frame(
        workload,
        preset,
        timeout_s=timeout_s,
        scheduling=scheduling,
        speedup=speedup,
        gaps=gaps,
        progress=progress,
    )
    write_record(folder, record, server)
    done = structs.replace(manifest, finished=True)
    write_manifest(folder, done)
    return done
