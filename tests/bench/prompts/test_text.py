"""Prompts of text: as long as asked, from the nearest texts, no two alike, in bounded memory."""

from __future__ import annotations

import json
import pickle
import tracemalloc
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from burstlens import BurstlensError
from burstlens.bench.prompts import json_stream as entries_module
from burstlens.bench.prompts.json_stream import entries
from burstlens.bench.prompts.text import TextPrompts, text_prompts
from burstlens.bench.prompts.text_pool import TextPool
from burstlens.bench.prompts.token_ids import BLOCK
from burstlens.bench.prompts.tokenizer import load_tokenizer
from tests.bench.simulated.loads import workload
from tests.bench.texts import joined, pieces, random_texts, sharegpt, stems, words, write_json_to

TEXTS = random_texts(1500)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    sharegpt(folder / "talk.json", TEXTS)
    words(folder / "words.json")
    pieces(folder / "pieces.json")
    joined(folder / "joined.json")
    stems(folder / "stems.json")
    return folder


@pytest.fixture(scope="module", params=["words", "pieces", "joined", "stems"])
def prompts(request: pytest.FixtureRequest, folder: Path) -> TextPrompts:
    return text_prompts(folder / "talk.json", folder / f"{request.param}.json")


def of_words(folder: Path, texts: list[str], **how: Any) -> TextPrompts:
    return text_prompts(sharegpt(folder / "few.json", texts), words(folder / "words.json"), **how)


# ---- length ------------------------------------------------------------------------------------------------


@pytest.mark.slow
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**40), st.integers(3, 6000))
def test_a_prompt_has_exactly_as_many_tokens_as_planned(
    prompts: TextPrompts, request: int, tokens: int
) -> None:
    assert prompts.count(prompts.prompt(request, tokens, None, None)) == tokens


@pytest.mark.slow
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**40), st.integers(3, 3000), st.lists(st.integers(0, 2**62), max_size=7))
def test_so_has_one_that_shares(prompts: TextPrompts, session: int, tokens: int, blocks: list[int]) -> None:
    shared = pickle.loads(pickle.dumps(prompts))
    shared.share = True
    for prefix in (blocks, None):
        assert shared.count(shared.prompt(7, tokens, session, prefix)) == tokens


def test_a_chat_counts_no_special_tokens_and_says_what_the_server_adds(folder: Path) -> None:
    chat = text_prompts(folder / "talk.json", folder / "pieces.json", api="chat")
    plain = load_tokenizer(folder / "pieces.json")
    text = chat.prompt(1, 50, None, None)
    assert len(plain.encode(text, add_special_tokens=False)) == 50
    assert any("chat template" in note for note in chat.prepare(workload([0.0], [50], [1])))


def test_a_prompt_is_never_empty(prompts: TextPrompts) -> None:
    assert prompts.prompt(0, 1, None, None).strip()


# ---- which text --------------------------------------------------------------------------------------------


def test_the_nearest_text_that_is_long_enough_is_cut(tmp_path: Path) -> None:
    texts = ["a b c", "d e f g h i", "j k l m n o p q r s"]
    few = of_words(tmp_path, texts)
    few.prepare(workload([0, 1, 2], [2, 4, 7], [1, 1, 1]))
    assert [few.prompt(i, n, None, None) for i, n in enumerate((2, 4, 7))] == [
        "a b",
        "d e f g",
        "j k l m n o p",
    ]


def test_an_exact_text_is_sent_as_it_is(tmp_path: Path) -> None:
    few = of_words(tmp_path, ["one  two\tthree", "four five"])
    few.prepare(workload([0], [3], [1]))
    assert few.prompt(0, 3, None, None) == "one  two\tthree"


def test_equals_are_picked_equally_often(tmp_path: Path) -> None:
    few = of_words(tmp_path, [f"{name} b c d" for name in "uvwxyz"] + ["longer than all of the others"])
    picked = Counter(few.prompt(i, 4, None, None).split()[1] for i in range(6000))
    assert sorted(picked) == list("uvwxyz")
    assert chisquare(list(picked.values())).pvalue > 1e-3
    other = text_prompts(tmp_path / "few.json", tmp_path / "words.json", seed=1)
    same = sum(few.prompt(i, 4, None, None).split()[1] == other.prompt(i, 4, None, None).split()[1]
               for i in range(600))  # fmt: skip
    assert 60 < same < 140


def test_texts_are_joined_if_none_is_long_enough_and_a_note_says_so(tmp_path: Path) -> None:
    few = of_words(tmp_path, ["a b c", "d e", "f"])
    notes = few.prepare(workload([0, 1], [2, 40], [1, 1]))
    assert [note for note in notes if "joined" in note] == [
        "1 prompts are joined from several, since the longest of few.json has 3 tokens"
    ]
    assert len(few.prompt(1, 40, None, None).split()) == 40


def test_the_same_request_gets_the_same_text_in_every_process_and_order(prompts: TextPrompts) -> None:
    tokens = [2 + 7 * i % 300 for i in range(200)]
    prompts.prepare(workload([float(i) for i in range(200)], tokens, [1] * 200))
    here = [prompts.prompt(i, n, None, None) for i, n in enumerate(tokens)]
    for worker in range(3):
        there = pickle.loads(pickle.dumps(prompts))
        for i in reversed(range(worker, 200, 3)):
            assert there.prompt(i, tokens[i], None, None) == here[i]


def alike(one: Sequence[Any], other: Sequence[Any]) -> int:
    """With how much of it two begin alike."""
    return next(
        (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )


# ---- alike or not ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [True, False])
def test_no_two_prompts_begin_alike_however_few_texts_there_are(
    folder: Path, tmp_path: Path, known: bool
) -> None:
    file = sharegpt(
        tmp_path / "three.json", [text * 40 for text in ("tell me more ", "and then? ", "why so ")]
    )
    few = text_prompts(file, folder / "pieces.json")
    tokens = [100 + i % 9 for i in range(300)]
    notes = few.prepare(workload([float(i) for i in range(300)], tokens, [1] * 300)) if known else []
    sent = [few.prompt(i, n, None, None) for i, n in enumerate(tokens)]
    tokenizer = load_tokenizer(folder / "pieces.json")
    blocks = {tuple(tokenizer.encode(text).ids[:16]) for text in sent}
    assert len(blocks) == 300
    natural = sum(text.startswith(("tell", "and", "why")) for text in sent)
    assert natural == (1 if known else 0)  # the nearest of the three
    if known:
        assert notes[0].startswith("299 requests take a text that an earlier one took")


def test_turns_of_a_session_grow_only_with_the_option(folder: Path) -> None:
    shared = text_prompts(folder / "talk.json", folder / "pieces.json", share=True)
    turns = [shared.prompt(i, n, 5, None) for i, n in enumerate((60, 300, 301, 900))]
    for before, after in pairwise(turns):
        assert after.startswith(before)
    assert alike(turns[3], shared.prompt(9, 900, 6, None)) < 8
    shared.share = False
    assert alike(shared.prompt(0, 60, 5, None), shared.prompt(1, 900, 5, None)) < 20


def test_blocks_of_one_number_are_one_text_only_with_the_option(folder: Path) -> None:
    shared = text_prompts(folder / "talk.json", folder / "pieces.json", share=True)
    tokenizer = load_tokenizer(folder / "pieces.json")

    def shared_tokens(share: bool) -> int:
        """Tokens with which two prompts of three common blocks begin alike."""
        shared.share = share
        ids = [tokenizer.encode(shared.prompt(i, 2300, None, [1, 2, 3, 10 + i, 20 + i])).ids for i in (0, 1)]
        return alike(*ids)

    assert shared_tokens(True) == pytest.approx(3 * BLOCK, abs=8)
    assert shared_tokens(False) < 16


def test_a_note_says_that_nothing_can_be_shared(prompts: TextPrompts) -> None:
    shared = pickle.loads(pickle.dumps(prompts))
    shared.share = True
    assert "neither sessions nor prefix blocks" in shared.prepare(workload([0], [5], [1]))[0]


# ---- memory ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_file_larger_than_the_memory_is_used_within_it(tmp_path: Path) -> None:
    file = tmp_path / "large.jsonl"
    filler = "and so on " * 150
    with file.open("w") as out:
        for i in range(20_000):
            messages = [
                {"from": "human", "value": f"{i} {'word ' * (i % 400)}"},
                {"from": "gpt", "value": filler},
            ]
            out.write(json.dumps({"conversations": messages}) + "\n")
    memory = 4_000_000
    assert file.stat().st_size > 10 * memory
    tokenizer = words(tmp_path / "words.json")
    tracemalloc.start()
    try:
        large = text_prompts(file, tokenizer, memory=memory)
        built = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        for i in range(3000):
            assert large.count(large.prompt(i, 1 + i % 380, None, None)) == 1 + i % 380
        used = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Beside the memory asked for: what is read at once, and a batch of texts.
    assert built < memory + 12_000_000
    assert used < memory + 3_000_000
    assert len(large.pool) == 20_000
    assert memory / 2 < large.pool.nbytes <= memory


def test_an_index_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        BurstlensError, match=r"prompt_memory: 0.05 MB are too few for the index of .*few.json"
    ):
        of_words(tmp_path, [f"text {i}" for i in range(2000)], memory=50_000)


def test_a_buffer_that_holds_nothing_still_gives_prompts(tmp_path: Path) -> None:
    few = of_words(tmp_path, ["a b c", "d e f"], memory=250)
    assert few.pool.nbytes <= 250
    assert len(few.prompt(0, 3, None, None).split()) == 3


# ---- files -------------------------------------------------------------------------------------------------

ALPACA = [
    {"instruction": "Add these.", "input": "1 and 2", "output": "3"},
    {"instruction": "Sing.", "input": "", "output": "la"},
    {"instruction": "", "output": "nothing was asked"},
]
MESSAGES = [
    {
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "Add these.\n\n1 and 2"},
        ]
    },
    {"messages": [{"role": "user", "content": [{"type": "text", "text": "Sing."}]}]},
    {"messages": [{"role": "assistant", "content": "nothing was asked"}]},
]


@pytest.mark.parametrize("form", [ALPACA, MESSAGES])
@pytest.mark.parametrize(
    "layout",
    [
        lambda entries: json.dumps(entries),
        lambda entries: json.dumps(entries, indent=2).replace("\n", "\r\n"),
        lambda entries: "\n".join(json.dumps(each) for each in entries),
        lambda entries: "\ufeff" + "\n\n".join(json.dumps(each) for each in entries) + "\n",
    ],
)
def test_forms_and_layouts_give_the_same_texts(
    tmp_path: Path, form: list[Any], layout: Callable[[list[Any]], str]
) -> None:
    file = tmp_path / "file"
    file.write_bytes(layout(form).encode())
    pool = TextPool(file, load_tokenizer(words(tmp_path / "words.json")))
    assert [pool.text(i) for i in range(len(pool))] == ["Sing.", "Add these.\n\n1 and 2"]
    assert (pool.repeated, pool.unusable) == (0, 1)


def test_a_repeated_text_is_stored_once(tmp_path: Path) -> None:
    few = of_words(tmp_path, ["continue", "a b", "continue", " continue\n"])
    assert (len(few.pool), few.pool.repeated) == (2, 2)
    assert "2 different prompts; left out: 2 repeated prompts" in few.prepare(workload([0], [1], [1]))[0]


def test_half_a_character_is_no_fault(tmp_path: Path) -> None:
    few = of_words(tmp_path, ["bad \ud83d half", "x"])
    assert few.prompt(0, 4, None, None).endswith("bad ? half")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(VALUES, max_size=6),
    st.sampled_from([None, 1]),
    st.booleans(),
    st.sampled_from([1, 3, 64, 1 << 20]),
)
def test_entries_are_what_the_file_holds_where_they_say(
    tmp_path: Path, values: list[Any], indent: int | None, as_lines: bool, step: int
) -> None:
    each = [json.dumps(value, indent=indent, ensure_ascii=False) for value in values]
    as_lines = as_lines and not (values and isinstance(values[0], list))
    data = ("\n".join(each) if as_lines else f" [{', '.join(each)}] ").encode()
    file = tmp_path / "values.json"
    file.write_bytes(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(entries_module, "STEP", step)
        found = list(entries(file))
    assert [value for _, _, value in found] == values
    assert [json.loads(data[start : start + length]) for start, length, _ in found] == values


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"a": 1},\n {"a" 2}]', r"line 2, column 7: is not JSON: Expecting ':' delimiter"),
        ('[{"a": 1}\n {"a": 2}]', r"line 2, column 2: is not JSON: a comma is missing here"),
        ('[{"a": 1},\n', r"line 2, column 1: is not JSON: the file ends inside the array"),
        ('{"a": 1}\n{"a": "never closed', r"line 2, column 7: is not JSON: Unterminated string"),
        ("[{}] {}", r"line 1, column 6: is not JSON: something follows the array"),
        ("[" * 100_000, r"line 1, column 2: is not JSON: nested too deeply"),
        (b'{"a": "\xff"}', r"line 1, column 8: is not UTF-8 text"),
        (b"\x1f\x8b\x08 packed", r"line 1, column 2: is not UTF-8 text"),
        ("", "has no prompts"),
        ("[]", "has no prompts"),
        ("[1, null]", "has no prompts; its entries should have conversations"),
        ('{"data": [{"instruction": "x"}]}', "has no prompts"),
    ],
)
def test_a_file_that_is_not_json_is_refused_with_the_place(
    text: str | bytes, message: str, tmp_path: Path
) -> None:
    file = tmp_path / "bad.json"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(BurstlensError, match=message) as fault:
        TextPool(file, load_tokenizer(words(tmp_path / "words.json")))
    assert str(fault.value).startswith(str(file))
    assert "\n" not in str(fault.value)


def test_a_fault_far_into_a_file_is_reported_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "bad.jsonl"
    line = json.dumps({"instruction": "x" * 1000}) + "\n"
    file.write_text(line * 3000 + '{"instruction": nothing}\n' + line * 3000)
    with pytest.raises(BurstlensError, match="line 3001, column 17: is not JSON: Expecting value"):
        TextPool(file, load_tokenizer(words(tmp_path / "words.json")))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path, "no such file"),
        (
            lambda path: write_json_to(path, {"model": {"type": "Nonsense"}}),
            "is not a tokenizer.json of Hugging Face",
        ),
        (lambda path: write_json_to(path, [1]), "is not a tokenizer.json of Hugging Face"),
    ],
)
def test_a_tokenizer_that_is_none_is_refused(
    make: Callable[[Path], Path], message: str, tmp_path: Path
) -> None:
    with pytest.raises(BurstlensError, match=message):
        load_tokenizer(make(tmp_path / "tokenizer.json"))


def test_a_folder_stands_for_the_tokenizer_in_it(folder: Path, tmp_path: Path) -> None:
    words(tmp_path / "tokenizer.json")
    assert text_prompts(folder / "talk.json", tmp_path).count("a b c") == 3


def test_a_file_that_changes_during_the_run_is_an_error(tmp_path: Path) -> None:
    few = of_words(tmp_path, ["a b c", "d e f g"], memory=200)
    (tmp_path / "few.json").write_text("[]")
    with pytest.raises(BurstlensError, match=r"few\.json: changed while its prompts were sent"):
        few.prompt(0, 3, None, None)


def test_counting_tells_how_far_it_is(folder: Path) -> None:
    steps: list[tuple[str, float]] = []
    tokenizer = load_tokenizer(folder / "words.json")
    TextPool(folder / "talk.json", tokenizer, progress=lambda step, share: steps.append((step, share)))
    assert len(steps) > 2
    assert {step for step, _ in steps} == {"counting tokens of talk.json"}
    assert [share for _, share in steps] == sorted(share for _, share in steps)
    assert steps[-1][1] == 1.0
