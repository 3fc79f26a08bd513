"""The stages of an evaluation on a GPU, each a process of its own with the folder and the server's address.

`python -m burstlens.gpu.stages FOLDER STAGE URL`; a stage reads `plan.json`, and what earlier stages left. It
goes on where it was stopped. Not here: the stages themselves (`engine_stages`, `experiment_stages`,
`client_stage`), the server, time limits and the page (`evaluate`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from ..analysis.core.errors import BurstlensError, relative_to_folder
from ..analysis.core.result import Progress
from .client_stage import client
from .config import EvaluationConfig
from .engine_stages import calibrate, profile
from .experiment_stages import maf2, schedulers, simulated, sweep

Stage = Callable[[EvaluationConfig, Path, str, Progress], str]
STAGES: dict[str, Stage] = {
    "profile": profile,
    "calibrate": calibrate,
    "maf2": maf2,
    "sweep": sweep,
    "schedulers": schedulers,
    "client": client,
    "simulated": simulated,
}
"""In the order in which they are run."""
OFFLINE = ("simulated",)
"""Stages that need no server."""


def main() -> None:
    """Run one stage; its last line is what it found, or why it did not."""
    from ..console import STOPPED, progress

    folder, name, url = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    into = folder / name
    try:
        into.mkdir(parents=True, exist_ok=True)
        with progress() as show:
            print(STAGES[name](EvaluationConfig.read(folder), into, url, show))
    except BurstlensError as fault:
        print(relative_to_folder(str(fault), folder))
        sys.exit(2)
    except OSError as fault:
        print(relative_to_folder(f"{name}: {fault}", folder))
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped")
        sys.exit(STOPPED)


if __name__ == "__main__":
    main()
