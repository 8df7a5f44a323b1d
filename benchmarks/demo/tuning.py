"""The demo's own instruct model: a short LoRA fine-tune of the base model, merged."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import torch
from tqdm import tqdm

from benchmarks.demo.gemma_tokenizer import CHAT_TEMPLATE, EOS
from benchmarks.demo.instructions import Turn, as_context

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.demo.recipe import Recipe

_END = "<end_of_turn>"
_EVERY = 3  # batches between two of the states that are kept
_LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def chat_tokenizer(base: Path) -> Any:
    """The base model's tokenizer, with Gemma's turn format."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def tune(base: Path, turns: list[Turn], folder: Path, kept: Path, recipe: Recipe) -> None:
    """Fine-tune and write ``adapter`` (the LoRA) and ``instruct`` (the merged model).

    Deterministic for one machine and number of threads: fixed seed, no dropout. A tuning that was
    stopped goes on after its last kept batch, and ends with the same weights.

    Args:
        base: folder of the base model, in its final place (the adapter names it).
        turns: what to tune on, once.
        folder: an existing folder to write the two into.
        kept: the file that the tuning's state is kept in; removed at the end.
        recipe: rank, rate, size of a batch, seed.
    """
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(recipe.seed)
    tokenizer = chat_tokenizer(base)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    config = LoraConfig(
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        target_modules=_LINEAR,
        task_type="CAUSAL_LM",
    )
    lora: Any = get_peft_model(model, config)
    _train(lora, [_encode(turn, tokenizer) for turn in turns], kept, recipe)
    lora.save_pretrained(folder / "adapter")
    merged = lora.merge_and_unload()
    merged.generation_config.eos_token_id = [EOS, tokenizer.convert_tokens_to_ids(_END)]
    merged.save_pretrained(folder / "instruct")
    tokenizer.save_pretrained(folder / "instruct")
    kept.unlink(missing_ok=True)


def _encode(turn: Turn, tokenizer: Any) -> tuple[list[int], int]:
    """Token ids of the whole turn, and how many of them are context (no loss there)."""
    context = tokenizer(as_context(turn, tokenizer)).input_ids
    response = tokenizer(turn.response + _END, add_special_tokens=False).input_ids
    return context + response, len(context)


def _batches(
    examples: list[tuple[list[int], int]], recipe: Recipe
) -> list[list[tuple[list[int], int]]]:
    """Batches of similar length (little padding), in random order."""
    size = recipe.batch_size
    ordered = sorted(examples, key=lambda example: len(example[0]))
    batches = [ordered[start : start + size] for start in range(0, len(ordered), size)]
    random.Random(recipe.seed).shuffle(batches)
    return batches


def _train(lora: Any, examples: list[tuple[list[int], int]], kept: Path, recipe: Recipe) -> None:
    """One pass over the examples: AdamW, learning rate falling linearly, loss on the response."""
    weights = [weight for weight in lora.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=recipe.learning_rate, weight_decay=0.0)
    batches = _batches(examples, recipe)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / len(batches))
    lora.train()
    parts = (optimizer, schedule)
    done = _restore(kept, weights, parts)
    sizes = [sum(len(ids) for ids, _ in batch) for batch in batches]
    begin = sum(sizes[:done])
    with tqdm(total=sum(sizes), initial=begin, desc="tune (once; kept)", unit="token") as bar:
        for number, batch in enumerate(batches[done:], done + 1):
            loss = _loss(lora, batch)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            bar.set_postfix(loss=f"{loss.item():.2f}", refresh=False)
            bar.update(sizes[number - 1])
            if number % _EVERY == 0:
                _keep(kept, number, weights, parts)
    lora.eval()


def _keep(file: Path, done: int, weights: list[Any], parts: tuple[Any, ...]) -> None:
    """Write what the next batch needs, whole or not at all."""
    state = {"done": done, "weights": weights, "parts": [part.state_dict() for part in parts]}
    working = file.with_suffix(".writing")
    torch.save(state, working)
    working.replace(file)


def _restore(file: Path, weights: list[Any], parts: tuple[Any, ...]) -> int:
    """Take up a tuning that was stopped; how many batches are done."""
    if not file.is_file():
        return 0
    state = torch.load(file, weights_only=True)
    with torch.no_grad():
        for weight, kept in zip(weights, state["weights"], strict=True):
            weight.copy_(kept)
    for part, kept in zip(parts, state["parts"], strict=True):
        part.load_state_dict(kept)
    return int(state["done"])


def _loss(lora: Any, batch: list[tuple[list[int], int]]) -> Any:
    """Mean negative log-likelihood of the batch's response tokens, in nats.

    Logits are computed at those positions only: with 262,144 of them the output layer is most of
    the work.
    """
    longest = max(len(ids) for ids, _ in batch)
    ids = torch.zeros(len(batch), longest, dtype=torch.long)
    attended = torch.zeros_like(ids)
    scored = torch.zeros_like(ids, dtype=torch.bool)
    for row, (tokens, context) in enumerate(batch):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        attended[row, : len(tokens)] = 1
        scored[row, context : len(tokens)] = True
    model = lora.get_base_model()
    hidden = model.model(input_ids=ids, attention_mask=attended).last_hidden_state
    before = scored[:, 1:]  # position t predicts token t + 1
    return torch.nn.functional.cross_entropy(
        model.lm_head(hidden[:, :-1][before]), ids[:, 1:][before]
    )
