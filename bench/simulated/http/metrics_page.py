"""The `/metrics` page of the simulated server, under vLLM's names, and what it counts.

Written out here rather than with a metrics library: the names, labels and buckets must be vLLM's, and the
page is the only use. Not here: when anything is observed (`endpoint`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from ..request import EngineState, Request

LENGTHS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)
FIRST_S = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75),
    *(1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640, 2560),
)
TOKEN_S = (
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75),
    *(1, 2.5, 5, 7.5, 10, 20, 40, 80),
)
REQUEST_S = (
    *(0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240),
    *(480, 960, 1920, 7680),
)
TIMES = (1, 2, 3, 4, 5, 10, 20)

HISTOGRAMS: dict[str, tuple[str, tuple[float, ...]]] = {
    "request_prompt_tokens": ("Number of prefill tokens processed.", LENGTHS),
    "request_generation_tokens": ("Number of generation tokens processed.", LENGTHS),
    "request_params_max_tokens": ("Histogram of the max_tokens request parameter.", LENGTHS),
    "time_to_first_token_seconds": ("Histogram of time to first token in seconds.", FIRST_S),
    "inter_token_latency_seconds": ("Histogram of inter-token latency in seconds.", TOKEN_S),
    "request_time_per_output_token_seconds": ("Time per output token of a request, in seconds.", TOKEN_S),
    "e2e_request_latency_seconds": ("Histogram of e2e request latency in seconds.", REQUEST_S),
    "request_queue_time_seconds": ("Time that a request spent waiting to be admitted.", REQUEST_S),
    "request_inference_time_seconds": ("Time from admission to the last token.", REQUEST_S),
    "request_prefill_time_seconds": ("Time from admission to the first token.", REQUEST_S),
    "request_decode_time_seconds": ("Time from the first to the last token.", REQUEST_S),
    "request_num_preemptions": ("How often a request was preempted.", TIMES),
}
FINISHED = ("stop", "length", "abort", "error", "repetition")


class BucketCounts:
    """Counts by upper bound, as Prometheus has them."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        """Count a value.

        Parameters
        ----------
        value
            The value.
        times
            How often it counts.
        """
        self._counts[bisect_left(self.bounds, value)] += times
        self._sum += value * times

    def lines(self, name: str, labels: str) -> Iterator[str]:
        """Write its lines on the page.

        Parameters
        ----------
        name
            Name of the metric.
        labels
            Labels in Prometheus' text format, without braces.
        """
        below = 0
        for bound, counted in zip((*map(float, self.bounds), "+Inf"), self._counts, strict=True):
            below += counted
            yield f'{name}_bucket{{{labels},le="{bound}"}} {float(below)}'
        yield f"{name}_count{{{labels}}} {float(below)}"
        yield f"{name}_sum{{{labels}}} {self._sum}"


class MetricsPage:
    """What the server has counted since it started, and the page that shows it."""

    def __init__(self, served_model: str, preset: str, num_blocks: int, block_size: int) -> None:
        self._model = f'model_name="{_escaped(served_model)}"'
        self._labels = f'engine="0",{self._model}'
        self._preset = _escaped(preset)
        self._cache = f'block_size="{block_size}",num_gpu_blocks="{num_blocks}",enable_prefix_caching="False"'
        self._histograms = {name: BucketCounts(bounds) for name, (_, bounds) in HISTOGRAMS.items()}
        self._finished = dict.fromkeys(FINISHED, 0)

    def tokens(self, gap_s: float, tokens: int) -> None:
        """Count tokens of a request; the gap before them is spread over them.

        Parameters
        ----------
        gap_s
            Seconds since the request's last tokens.
        tokens
            How many came.
        """
        self._histograms["inter_token_latency_seconds"].observe(gap_s / tokens, tokens)

    def first_token(self, after_s: float) -> None:
        """Count a request's first token, `after_s` seconds after its arrival."""
        self._histograms["time_to_first_token_seconds"].observe(after_s)

    def ended(self, request: Request, reason: str, max_tokens: int) -> None:
        """Count the end of a request that was admitted.

        Parameters
        ----------
        request
            The request.
        reason
            One of `FINISHED`.
        max_tokens
            `max_tokens` of the request.
        """
        self._finished[reason] += 1
        if request.admitted_s is None or request.first_token_s is None or request.ended_s is None:
            return
        n = request.generated
        decode_s = request.ended_s - request.first_token_s
        for name, value in (
            ("request_prompt_tokens", request.request_tokens),
            ("request_generation_tokens", n),
            ("request_params_max_tokens", max_tokens),
            ("e2e_request_latency_seconds", request.ended_s - request.arrival_s),
            ("request_queue_time_seconds", request.admitted_s - request.arrival_s),
            ("request_inference_time_seconds", request.ended_s - request.admitted_s),
            ("request_prefill_time_seconds", request.first_token_s - request.admitted_s),
            ("request_decode_time_seconds", decode_s),
            ("request_num_preemptions", request.preemptions),
        ):
            self._histograms[name].observe(value)
        if n > 1:
            self._histograms["request_time_per_output_token_seconds"].observe(decode_s / (n - 1))

    def page(self, sample: EngineState) -> str:
        """Write the page for a sample of the engine."""
        return "\n".join(self._lines(sample)) + "\n"

    def _lines(self, sample: EngineState) -> Iterator[str]:
        yield "# Simulated: no model is served here; times come from burstlens's engine model."
        yield from _family("burstlens_simulated", "gauge", "This server is simulated.")
        yield f'burstlens_simulated{{preset="{self._preset}"}} 1.0'
        for name, text, value in (
            ("num_requests_running", "Number of requests in model execution batches.", sample.running),
            ("num_requests_waiting", "Number of requests waiting to be processed.", sample.waiting),
            ("kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.", sample.kv_cache_use),
        ):
            yield from _family(f"vllm:{name}", "gauge", text)
            yield f"vllm:{name}{{{self._labels}}} {float(value)}"
        for name, text, value in (
            ("num_preemptions", "Cumulative number of preemption from the engine.", sample.preemptions),
            ("prompt_tokens", "Number of prefill tokens processed.", sample.prompt_tokens),
            ("generation_tokens", "Number of generation tokens processed.", sample.generation_tokens),
            ("prefix_cache_queries", "Prefix cache queries: the simulated engine has no such cache.", 0),
            ("prefix_cache_hits", "Prefix cache hits: the simulated engine has no such cache.", 0),
        ):
            yield from _family(f"vllm:{name}_total", "counter", text)
            yield f"vllm:{name}_total{{{self._labels}}} {float(value)}"
        yield from _family(
            "vllm:admission_rejections_total", "counter", "Admissions rejected by a queue limit, by reason."
        )
        rejected = f'{self._model},reason="max_num_queued_reqs"'
        yield f"vllm:admission_rejections_total{{{rejected}}} {float(sample.rejections)}"
        yield from _family(
            "vllm:request_success_total", "counter", "Count of successfully processed requests."
        )
        for reason, counted in self._finished.items():
            labels = f'engine="0",finished_reason="{reason}",{self._model}'
            yield f"vllm:request_success_total{{{labels}}} {float(counted)}"
        for name, (text, _) in HISTOGRAMS.items():
            yield from _family(f"vllm:{name}", "histogram", text)
            yield from self._histograms[name].lines(f"vllm:{name}", self._labels)
        yield from _family("vllm:cache_config_info", "gauge", "Information of the LLMEngine CacheConfig")
        yield f'vllm:cache_config_info{{{self._cache},engine="0"}} 1.0'


def _family(name: str, kind: str, text: str) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
