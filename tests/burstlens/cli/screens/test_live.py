"""The live display: plain lines where nobody watches, a picture that leaves nothing behind on a terminal."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from burstlens.bench.settings import Status
from burstlens.cli.screens.live import PLAIN_STEP_S, line, live, picture

BUSY = Status(
    elapsed_s=75.0,
    span_s=3700.0,
    requests=5000,
    sent=1200,
    in_flight=37,
    ended={"ok": 1100, "http_429": 61, "timeout": 2, "reset": 0},
    rate_planned_rps=20.04,
    rate_achieved_rps=19.96,
    lateness_p99_s=0.00234,
    kv_cache_use=0.347,
    waiting=0,
)

WIPED = "\x1b[1A\x1b[2K" * 3
"""Three lines up, each wiped."""
CURSOR = "\x1b[?25h"


def a_log() -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, force_terminal=False, width=40), out


def a_terminal() -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, force_terminal=True, width=100, color_system=None), out


def test_a_line_tells_everything_that_is_known() -> None:
    assert line(BUSY) == (
        "01:15  1,200 of 5,000 sent, 37 in flight, 1,100 ok, 61 http_429, 2 timeout, "
        "20.0 of 20.0 requests/s, lateness p99 2.3 ms, KV cache 35%, 1:00:25 left"
    )


def test_a_value_that_the_server_lacks_is_left_out_and_what_waits_is_shown() -> None:
    text = line(replace(BUSY, kv_cache_use=None, waiting=1234))
    assert "KV" not in text
    assert "1,234 waiting for --max-concurrency" in text


@pytest.mark.parametrize(
    ("now", "text"),
    [
        (replace(BUSY, elapsed_s=3800.0), "all sent, waiting for answers"),
        (replace(BUSY, stopping=True), "Ctrl-C again cuts them"),
        (replace(BUSY, elapsed_s=-0.05), "1:01:40 left"),
    ],
)
def test_both_displays_say_what_is_still_to_come(now: Status, text: str) -> None:
    assert line(now).endswith(text)
    assert text in picture(now).plain.splitlines()[0]


def test_the_bar_grows_with_what_has_ended_and_an_empty_run_has_one_too() -> None:
    text = picture(BUSY)
    assert " 23%" in text.plain
    filled = next(span for span in text.spans if span.style == "green")
    assert filled.end - filled.start == int(0.2326 * 30)
    assert text.plain.startswith("━━━━━━─")  # without colours too
    assert "  0%" in picture(replace(BUSY, requests=0, ended={})).plain


def test_a_log_gets_one_plain_line_a_step_however_often_it_is_called() -> None:
    console, out = a_log()
    with live(console) as watch:
        assert watch is not None
        for half_second in range(int(4 * PLAIN_STEP_S)):
            watch(replace(BUSY, elapsed_s=half_second / 2, kv_cache_use=None))
    lines = out.getvalue().splitlines()
    assert [text.split()[0] for text in lines] == ["00:00", "00:05"]
    assert "\x1b" not in out.getvalue()


def test_names_of_classes_are_no_markup() -> None:
    console, out = a_log()
    with live(console) as watch:
        assert watch is not None
        watch(replace(BUSY, ended={"[red]": 3}))
    assert "3 [red]" in out.getvalue()


def test_a_terminal_shows_the_last_status_and_is_left_clean() -> None:
    console, out = a_terminal()
    with live(console) as watch:
        assert watch is not None
        watch(BUSY)
        length = len(out.getvalue())
        watch(replace(BUSY, sent=1300))
        last = out.getvalue()[length:]
        assert "1,300 of 5,000 sent" in last
        assert "\x1b[1A" in last  # it is drawn over what stood there
    assert CURSOR in out.getvalue()
    assert out.getvalue().endswith(WIPED)


def test_a_terminal_is_clean_after_ctrl_c_too() -> None:
    console, out = a_terminal()

    def stopped() -> None:
        with live(console) as watch:
            assert watch is not None
            watch(BUSY)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert CURSOR in out.getvalue()
    assert out.getvalue().endswith(WIPED)


def test_quiet_shows_nothing() -> None:
    for console, out in (a_log(), a_terminal()):
        with live(console, quiet=True) as watch:
            assert watch is None
        assert out.getvalue() == ""
