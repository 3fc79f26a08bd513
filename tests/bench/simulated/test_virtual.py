"""A workload in virtual time: the record that a client would have written of the same engine."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import numpy as np
import polars as pl
import pytest

from burstlens.analysis.core.errors import BurstlensError
from burstlens.bench.record.models import SCHEMA, SERVER_SCHEMA
from burstlens.bench.simulated.presets import load_preset
from burstlens.bench.simulated.request import Scheduling
from burstlens.bench.simulated.virtual import simulate_frame

from . import stepwise
from .loads import bursty, workload
from .test_engine import TINY

LLAMA = load_preset("llama-2-13b-a100")


def by_request(frame: pl.DataFrame, column: str) -> list[float]:
    return frame.sort("request_id")[column].to_list()


@pytest.mark.slow
@pytest.mark.parametrize("scheduling", ["fcfs", "priority"])
def test_the_record_is_that_of_single_steps(scheduling: Scheduling) -> None:
    preset, load = LLAMA.limited(num_blocks=500, max_num_queued_reqs=150), bursty(400, 12.0)
    load = replace(load, requests=load.requests.with_columns(priority=pl.col("request_tokens")))
    record, _ = simulate_frame(load, preset, timeout_s=40.0, scheduling=scheduling, gaps=True)
    sent = [
        stepwise.Arrival(
            r["request_id"],
            r["at_s"],
            r["request_tokens"],
            r["response_tokens"],
            r["priority"],
            r["at_s"] + 40,
        )
        for r in load.requests.iter_rows(named=True)
    ]
    stepwise.run(preset, sent, scheduling)
    outcome = {"finished": "ok", "aborted": "timeout", "rejected": "rejected", "too_long": "http_4xx"}
    assert record["outcome"].to_list() == [outcome[str(r.end)] for r in sent]
    assert {"ok", "timeout", "rejected"} == set(record["outcome"])
    assert record["ended_s"].to_list() == pytest.approx([r.ended_s for r in sent], abs=1e-9)
    for row, r in zip(record.iter_rows(named=True), sent, strict=True):
        if r.token_s:
            assert row["first_token_s"] == pytest.approx(r.token_s[0], abs=1e-9)
            assert row["gaps_s"] == pytest.approx(np.diff(r.token_s).tolist(), abs=1e-9)
            assert row["gap_tokens"] == [1] * (len(r.token_s) - 1)
            assert row["response_tokens"] == len(r.token_s)
        else:
            assert row["first_token_s"] is row["gaps_s"] is row["response_tokens"] is None


def test_frames_have_the_columns_of_a_record() -> None:
    for load in (bursty(50, 2.0), workload([], [], [])):
        for gaps in (False, True):
            record, server = simulate_frame(load, LLAMA, gaps=gaps)
            assert dict(record.schema) == SCHEMA
            assert dict(server.schema) == SERVER_SCHEMA
            assert record["request_id"].to_list() == list(range(len(load.requests)))


def test_requests_are_sent_at_their_instants() -> None:
    load = bursty(200, 3.0)
    record, _ = simulate_frame(load, LLAMA)
    assert (
        by_request(record, "intended_s") == by_request(record, "sent_s") == by_request(load.requests, "at_s")
    )
    assert (record["gaps_s"].null_count(), record["worker"].max(), record["waited_s"].max()) == (200, 0, 0.0)
    assert by_request(record, "request_tokens") == by_request(load.requests, "request_tokens")
    assert by_request(record, "response_tokens") == by_request(load.requests, "response_tokens")


def test_a_turn_follows_the_answer_before_it() -> None:
    load = workload(
        [0.0, 0.1, 1.0, 2.0, 3.0],
        [100] * 5,
        [50] * 5,
        session=[7, 8, 7, 7, None],
        turn=[0, 0, 1, 2, None],
        think_s=[None, None, 2.5, 0.0, None],
    )
    record, _ = simulate_frame(load, LLAMA)
    rows = record.to_dicts()
    assert rows[2]["intended_s"] == pytest.approx(rows[0]["ended_s"] + 2.5)
    assert rows[3]["intended_s"] == pytest.approx(rows[2]["ended_s"])
    assert [rows[i]["intended_s"] for i in (0, 1, 4)] == [0.0, 0.1, 3.0]


def test_what_is_outside_of_the_steps_is_seen_by_the_client_alone() -> None:
    """The engine does what it did; whoever waits for an answer sends that much later."""
    far = replace(LLAMA, outside_ms=12.5)
    load = bursty(300, 4.0)
    near, seen = (simulate_frame(load, preset, gaps=True)[0] for preset in (LLAMA, far))
    for column in ("first_token_s", "ended_s"):
        assert by_request(seen, column) == pytest.approx([at + 0.0125 for at in by_request(near, column)])
    assert seen.drop("first_token_s", "ended_s").equals(near.drop("first_token_s", "ended_s"))
    turns = workload([0.0, 1.0], [100] * 2, [50] * 2, session=[7] * 2, turn=[0, 1], think_s=[None, 2.5])
    first, second = simulate_frame(turns, far)[0].to_dicts()
    assert second["intended_s"] == second["sent_s"] == first["ended_s"] + 2.5
    assert second["ended_s"] - second["sent_s"] == pytest.approx(first["ended_s"])
    # An answer that is on its way when its client gives up comes too late.
    alone = workload([0.0], [100], [50])
    complete = simulate_frame(alone, far)[0]["ended_s"].item()
    for timeout_s, outcome in ((complete + 1e-6, "ok"), (complete - 1e-6, "timeout")):
        (row,) = simulate_frame(alone, far, timeout_s=timeout_s)[0].to_dicts()
        assert (row["outcome"], row["ended_s"]) == (outcome, pytest.approx(min(complete, timeout_s)))
    assert simulate_frame(alone, far, timeout_s=1e-3)[0]["outcome"].item() == "timeout"
    assert far.faster(5.0).outside_ms == 2.5


def test_a_turn_follows_even_where_the_one_before_failed() -> None:
    load = workload([0.0, 1.0], [5000, 10], [5, 5], session=[1, 1], turn=[0, 1], think_s=[None, 4.0])
    record, _ = simulate_frame(load, LLAMA)
    assert record["outcome"].to_list() == ["http_4xx", "ok"]
    assert record["intended_s"].to_list() == [0.0, 4.0]


def test_refusals_look_as_they_do_to_a_client() -> None:
    load = workload([0.0] * 4, [4096, 4000, 10, 10], [1, 500, 5, 5])
    record, _ = simulate_frame(load, LLAMA.limited(max_num_queued_reqs=2))
    assert record["outcome"].to_list() == ["http_4xx", "truncated", "ok", "rejected"]
    assert record["status"].to_list() == [400, 200, 200, 200]
    assert record["response_tokens"].to_list() == [None, 96, 5, None]
    assert record["response_tokens_asked"].to_list() == [1, 500, 5, 5]
    assert "503" in record["error"][3]
    assert "simulated" in record["error"][3]


def test_samples_are_those_of_a_running_server() -> None:
    load = bursty(500, 6.0)
    record, server = simulate_frame(load, LLAMA)
    assert server["at_s"].to_list() == [float(i) for i in range(len(server))]
    assert len(server) == int(record["ended_s"].max()) + 1  # type: ignore[arg-type]
    assert 0.3 < server["kv_cache_use"].max() <= 1.0  # type: ignore[operator]
    for counter in ("preemptions", "rejections", "prompt_tokens", "generation_tokens"):
        assert (server[counter].diff().drop_nulls() >= 0).all()
    # What runs at an instant is what was sent and has not ended.
    for at, running, waiting in server.select("at_s", "running", "waiting").iter_rows():
        living = record.filter((pl.col("sent_s") <= at) & (pl.col("ended_s") > at))
        assert running + waiting == len(living)


def test_a_faster_server_on_a_faster_load_takes_its_share_of_the_time() -> None:
    load = bursty(100, 3.0)
    quick = replace(load, requests=load.requests.with_columns(pl.col("at_s") / 4))
    slow, fast = simulate_frame(load, LLAMA)[0], simulate_frame(quick, LLAMA, speedup=4.0)[0]
    assert (fast["ended_s"] * 4).to_list() == pytest.approx(slow["ended_s"].to_list())
    with pytest.raises(BurstlensError, match="speedup"):
        simulate_frame(load, LLAMA, speedup=0.0)


def test_progress_reaches_the_end() -> None:
    seen: list[float] = []
    simulate_frame(bursty(100, 3.0), TINY, progress=lambda _step, share: seen.append(share))
    assert seen[-1] == 1.0


def test_time_out_is_kept_to() -> None:
    record, _ = simulate_frame(bursty(300, 30.0), LLAMA, timeout_s=5.0)
    took = record.with_columns(took_s=pl.col("ended_s") - pl.col("sent_s"))
    late = took.filter(outcome="timeout")
    assert len(late) > 20
    assert late["took_s"].to_list() == pytest.approx([5.0] * len(late))
    assert took.filter(outcome="ok")["took_s"].max() <= 5.0  # type: ignore[operator]
    assert inf not in took["ended_s"]
