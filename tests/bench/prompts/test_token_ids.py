"""Prompts of token ids: exact, different, and shared only where that is asked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burstlens import BurstlensError
from burstlens.bench.prompts.token_ids import BLOCK, TokenPrompts
from tests.bench.simulated.loads import workload


@given(st.integers(0, 2**40), st.integers(1, 5000), st.integers(0, 2**31))
def test_a_prompt_has_exactly_as_many_tokens_of_the_vocabulary_as_planned(
    request_id: int, tokens: int, seed: int
) -> None:
    ids = TokenPrompts(seed, vocabulary=(7, 500)).prompt(request_id, tokens, None, None)
    assert len(ids) == tokens
    assert min(ids) >= 7
    assert max(ids) <= 500


def test_prompts_are_the_same_for_the_same_seed_and_no_two_begin_alike() -> None:
    prompts = [tuple(TokenPrompts(3).prompt(i, 32, None, None)) for i in range(1000)]
    assert prompts == [tuple(TokenPrompts(3).prompt(i, 32, None, None)) for i in range(1000)]
    assert len({prompt[:4] for prompt in prompts}) == len(prompts)
    assert TokenPrompts(4).prompt(0, 32, None, None) != list(prompts[0])


def test_turns_of_a_session_share_their_beginning_only_with_the_option() -> None:
    shared, unshared = TokenPrompts(share=True), TokenPrompts()
    assert shared.prompt(9, 900, 5, None)[:300] == shared.prompt(1, 300, 5, None)
    assert shared.prompt(9, 300, 6, None) != shared.prompt(1, 300, 5, None)
    assert unshared.prompt(9, 900, 5, None)[:300] != unshared.prompt(1, 300, 5, None)


def test_blocks_of_one_number_hold_the_same_tokens_and_the_rest_differs() -> None:
    prompts = TokenPrompts(share=True)
    one, two = (prompts.prompt(i, 2 * BLOCK + 100, None, [4, 9 + i]) for i in (1, 2))
    assert one[:BLOCK] == two[:BLOCK]
    assert one[BLOCK:] != two[BLOCK:]
    assert prompts.prompt(3, BLOCK // 2, None, [4, 5]) == one[: BLOCK // 2]


def test_a_vocabulary_that_is_none_is_refused() -> None:
    with pytest.raises(BurstlensError, match="not a range"):
        TokenPrompts(vocabulary=(9, 9))


def test_a_note_says_where_trace_and_run_share_differently() -> None:
    blocks = workload([0.0, 1.0], [600, 600], [1, 1], prefix=[[1, 2], None])
    plain = workload([0.0], [5], [1])
    assert "neither sessions nor prefix blocks" in TokenPrompts(share=True).prepare(plain)[0]
    assert "the prompts of this run do not" in TokenPrompts().prepare(blocks)[0]
    assert TokenPrompts().prepare(plain) == TokenPrompts(share=True).prepare(blocks) == []
