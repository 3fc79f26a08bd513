"""A tokenizer with one token for each character of plain text, laid out as a cache of Hugging Face's hub.

With it any tool counts as many tokens as it asked for, and finds it without a network. AIPerf's workers look
nowhere but in such a cache.
"""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers

NAME = "burstlens/characters"
REVISION = "0" * 40
CONFIG = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "max_position_embeddings": 131_072}


def make_tokenizer(home: Path) -> Path:
    """Write the cache under `home` (what HF_HOME names); the folder of the tokenizer in it."""
    cache = home / "hub" / f"models--{NAME.replace('/', '--')}"
    folder = cache / "snapshots" / REVISION
    folder.mkdir(parents=True)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text(REVISION)
    # What bytes outside of plain text are one unknown token each: no tool's random tokens make broken UTF-8.
    letters = [letter for letter in sorted(pre_tokenizers.ByteLevel.alphabet()) if "!" <= letter <= "~"]
    vocabulary = {word: i for i, word in enumerate(["<s>", "</s>", "<unk>", "Ġ", "Ċ", *letters])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    tokenizer.add_special_tokens(["<s>", "</s>"])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "model_max_length": 131_072,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "config.json").write_text(json.dumps({**CONFIG, "vocab_size": len(vocabulary)}))
    return folder
