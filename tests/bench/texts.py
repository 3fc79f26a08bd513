"""Files of prompts and tokenizers for them, made by the tests that need them."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

tokenizers = pytest.importorskip("tokenizers", reason="prompts of text need the tokenizers package")


def words(path: Path) -> Path:
    """A tokenizer that counts what stands between blanks, as the simulated endpoint does."""
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel({"?": 0}, unk_token="?"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(path))
    return path


def pieces(path: Path) -> Path:
    """Byte-level BPE with a special token at the beginning, as most served models have it."""
    level = tokenizers.pre_tokenizers.ByteLevel
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = level(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=1500, special_tokens=["<s>"], initial_alphabet=level.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(random_texts(400, seed=9), trainer)
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 0)]
    )
    tokenizer.save(str(path))
    return path


def joined(path: Path) -> Path:
    """BPE on text whose blanks are letters, as Llama 2 has it: what does not occur falls back to bytes."""
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True)
    )
    tokenizer.normalizer = tokenizers.normalizers.Sequence(
        [tokenizers.normalizers.Prepend("▁"), tokenizers.normalizers.Replace(" ", "▁")]
    )
    special = ["<unk>", "<s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=1000, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(random_texts(150, seed=9), trainer)
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    tokenizer.save(str(path))
    return path


def stems(path: Path) -> Path:
    """WordPiece as BERT has it: lower case, two special tokens, and a file that says to cut and to pad."""
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = tokenizers.normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    special = ["[UNK]", "[CLS]", "[SEP]"]
    trainer = tokenizers.trainers.WordPieceTrainer(
        vocab_size=1500, special_tokens=special, show_progress=False
    )
    tokenizer.train_from_iterator(random_texts(400, seed=9), trainer)
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    tokenizer.enable_truncation(64)
    tokenizer.enable_padding(length=64)
    tokenizer.save(str(path))
    return path


def random_texts(n: int, *, max_words: int = 200, seed: int = 0) -> list[str]:
    """So many different texts of up to `max_words` words, with letters of several scripts."""
    rng = random.Random(seed)
    vocabulary = ["".join(rng.choices("abcdeéoßи語", k=rng.randint(1, 7))) for _ in range(600)]
    ends = (".", "!", "\n- a list", " 👩‍🚀", "  ", " 東京")
    lengths = [rng.randint(1, max_words) for _ in range(n)]
    return [
        f"{i} " + " ".join(rng.choices(vocabulary, k=k)) + rng.choice(ends) for i, k in enumerate(lengths)
    ]


def sharegpt(path: Path, texts: Sequence[str]) -> Path:
    """A file in ShareGPT's form, two texts a conversation."""
    conversations: list[list[dict[str, str]]] = [
        [part for text in texts[i : i + 2] for part in ({"from": "human", "value": text}, ANSWER)]
        for i in range(0, len(texts), 2)
    ]
    return write_json_to(
        path, [{"id": str(i), "conversations": each} for i, each in enumerate(conversations)]
    )


def write_json_to(path: Path, entries: Any) -> Path:
    path.write_text(json.dumps(entries), encoding="utf-8")
    return path


ANSWER = {"from": "gpt", "value": "An answer is no prompt."}
