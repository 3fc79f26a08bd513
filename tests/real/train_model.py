"""A tiny Llama that has learnt a few sentences, for the tests that need real weights; run by a vLLM's Python.

It learns the passages that `genuine` asks for, and to end an answer sooner the longer its prompt was. Not a
model of anything: it is as small as what vLLM loads can be, and its answers are still its own.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

import make_model

STEPS, BATCH, LEARNING_RATE = 400, 16, 3e-3
LONGEST = 96
"""Tokens of the longest sequence that is learnt."""


def sequences(passages: list[list[int]], source: random.Random) -> list[list[int]]:
    """A batch: passages from any word on, and prompts with answers of max(30 − prompt/2, 2) tokens."""
    out = []
    for i in range(BATCH):
        words = passages[source.randrange(len(passages))]
        if i % 2:
            out.append(words[source.randrange(4) :])
        else:
            prompt = [words[source.randrange(len(words))] for _ in range(source.randint(2, 40))]
            out.append([*prompt, *[words[0]] * max(30 - len(prompt) // 2, 2), 2])
    return out


def main(folder: Path, passages: list[str]) -> None:
    """Write the model with weights that know `passages`."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM

    make_model.main(folder)
    known = dict.fromkeys(word for passage in passages for word in passage.split())
    words = {"<unk>": 0, "<s>": 1, "</s>": 2, **{word: i for i, word in enumerate(known, start=3)}}
    words |= {f"w{i}": i for i in range(len(words), 1000)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(0)
    source = random.Random(0)
    model = LlamaForCausalLM(LlamaConfig(**make_model.CONFIG))
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    learnt = [[words[word] for word in passage.split()] for passage in passages]
    for _ in range(STEPS):
        batch = sequences(learnt, source)
        length = max(map(len, batch))
        ids = torch.tensor([each + [2] * (length - len(each)) for each in batch])
        labels = torch.tensor([each + [-100] * (length - len(each)) for each in batch])
        loss = model(input_ids=ids, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.to(torch.bfloat16).save_pretrained(folder)
    print(f"loss {loss.item():.3f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
