"""What an evaluation on a GPU is asked: the content of its `plan.json`. Not here: its stages (`stages`)."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from ..analysis.core.errors import DiskError, InputError
from ..analysis.core.option_names import option

if TYPE_CHECKING:
    from ..analysis.core.result import Progress
    from ..api.experiments.backend import BackendOptions
    from ..bench.settings import Settings, Target

PLAN = "plan.json"


class TrialOptions(TypedDict):
    """How often the trials of an experiment are repeated, on what, and who hears of it."""

    seeds: int
    backend: BackendOptions
    progress: Progress


@dataclass(frozen=True)
class EvaluationConfig:
    """What an evaluation is asked; the content of `plan.json`. Another plan wants another folder."""

    trace: str
    synthetic: bool
    functions: str | None
    model: str
    """Name that the model is served under, and that the preset gets."""
    weights: str | None
    """Folder of the model; None for Llama-2-13b's shape."""
    gpu: str
    flags: dict[str, Any]
    """Fields of `bench.server.vllm.Flags`."""
    kv: float
    requests: int
    """Of each trial."""
    seeds: int
    vocabulary: tuple[int, int]
    shapes: tuple[float, ...]
    scales: tuple[float, ...]
    """Times the scale at the start."""
    exponents: tuple[float, ...]
    client_rps: float
    client_requests: int
    rounds: int
    """How often each step is measured."""
    timeout_s: float

    def write(self, folder: Path) -> None:
        """Write `plan.json`.

        Raises
        ------
        InputError
            If the folder has an evaluation with other options, or its file is damaged.
        DiskError
            If the file cannot be read or written.
        """
        path = folder / PLAN
        text = json.dumps(asdict(self), indent=1) + "\n"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if path.is_file() and path.read_text(encoding="utf-8") != text:
                before = json.loads(path.read_text(encoding="utf-8"))
                now = json.loads(text)
                other = sorted(name for name in now if now[name] != before.get(name))
                raise InputError(
                    f"{folder}: has an evaluation with another {', '.join(other)}; continue with "
                    f"its options, or name another folder with {option('out')}"
                )
            path.write_text(text, encoding="utf-8")
        except OSError as fault:
            raise DiskError.unwritable(path, fault) from fault
        except ValueError as fault:
            raise InputError(f"{path}: is not the plan of an evaluation: {fault}") from fault

    @classmethod
    def read(cls, folder: Path) -> EvaluationConfig:
        """Read `plan.json`.

        Raises
        ------
        InputError
            If the file is not a plan of an evaluation.
        DiskError
            If the file cannot be read.
        """
        try:
            content = json.loads((folder / PLAN).read_text(encoding="utf-8"))
            tuples = {name: tuple(value) for name, value in content.items() if isinstance(value, list)}
            return cls(**{**content, **tuples})
        except OSError as fault:
            raise DiskError.unreadable(folder / PLAN, fault) from fault
        except (ValueError, TypeError) as fault:
            raise InputError(f"{folder / PLAN}: is not the plan of an evaluation: {fault}") from fault

    def settings(self) -> Settings:
        """Make the settings of every request: token ids, so that the server spends no time on text."""
        from ..bench.settings import Settings

        return Settings(timeout_s=self.timeout_s, extra={"detokenize": False})

    def target(self, url: str) -> Target:
        """Make the target, with the key from the environment."""
        from ..bench.client.preflight import KEY
        from ..bench.settings import Target

        return Target(url, self.model, key=os.environ.get(KEY))

    def backend(self, url: str) -> BackendOptions:
        """Make the backend of experiments."""
        from ..api.experiments.backend import BackendOptions

        return BackendOptions(
            target=self.target(url),
            settings=self.settings(),
            vocabulary=self.vocabulary,
            timeout_s=self.timeout_s,
        )

    def trials(self, url: str, show: Progress) -> TrialOptions:
        """Make the options that all experiments of an evaluation share."""
        return {"seeds": self.seeds, "backend": self.backend(url), "progress": show}
