"""The trial: a shrunken model of the same class and configuration, both ways.

Whatever a model does to mix tokens (attention scaled otherwise, soft-capping, sinks, windows,
biases, positions that it counts by itself) it does in a small copy too; in fp32 with large logits
and sharp attention what is wrong there is wrong by far more than the order of operations.
"""

from __future__ import annotations

import copy
import re
from typing import Any

import torch
import transformers

from pa_harness.prefixes.attention.tree import NotATreeError
from pa_harness.prefixes.compatibility import longest_possible
from pa_harness.prefixes.decoding.generation import Asked, continuations
from pa_harness.prefixes.limits import Limits
from pa_harness.prefixes.reading import Reader
from pa_harness.prefixes.scoring import Plan, Request, score

TOLERANCE = 1e-5  # nats per token, where 1e-6 is what the order of fp32 operations makes
_WINDOW = 7  # tokens, of layers that have one
_CAP = 1.5  # of scores and logits that are capped: as small as the scores are
_VOCABULARY, _HEADS, _WIDTH = 512, 2, 64
_LENGTH = 128  # tokens, more than any request has
_LAYERS = 2  # at least; more where the kinds of layers need them
_PASSES = (24, 256)  # tokens: the path in pieces and small subtrees; one that is tiled
_CONTINUATION = 6  # tokens
_GAIN = 1.2  # of random weights: attention is sharp, logits are large


def shrunken(model: Any) -> Any:
    """A small random model in fp32, on the CPU, of a model's class and configuration.

    Layers of every kind stay, and what is counted per head; widths, layers and vocabulary shrink.

    Raises:
        NotATreeError: neither that nor a copy that is only shorter can be made.
    """
    errors = []
    for narrow in (True, False):
        config = _smaller(model.config, narrow=narrow)
        try:
            with torch.random.fork_rng(devices=[]), torch.device("cpu"):
                torch.manual_seed(0)
                small = type(model)(config).float().eval()
                _sharpen(small)
                small(torch.arange(8)[None] + 8)
        except Exception as error:  # noqa: BLE001 -- whatever a configuration cannot be
            errors.append(f"{type(error).__name__}: {error}")
            continue
        return small
    raise NotATreeError(f"no small copy can be made to try ({errors[-1]})")


def disagreement(model: Any) -> str | None:
    """Send small trees through a shrunken copy both ways; None if the log-probabilities agree.

    Args:
        model: a decoder without `compatibility.obstacle`.
    """
    try:
        small = shrunken(model)
        worst = max(_apart(small, tokens) for tokens in _PASSES)
        if not worst <= TOLERANCE:  # NaN is no agreement
            return f"a trial gave log-probabilities that are off by {worst:.2g} nats"
        return "a trial gave other continuations" if _strays(small) else None
    except (NotATreeError, AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        return f"{type(model).__name__} refuses: {type(error).__name__}: {error}"


def _smaller(config: Any, *, narrow: bool) -> Any:
    """The configuration with few layers and a small vocabulary, and with narrow ones if wished."""
    whole = copy.deepcopy(config)
    text = whole.get_text_config(decoder=True)
    layers = _shorten(text)
    for part in {id(each): each for each in (whole, text)}.values():
        for name, value in list(vars(part).items()):
            if isinstance(value, transformers.PretrainedConfig):
                if value is not text:
                    value.num_hidden_layers = 1  # towers of other kinds
            else:
                setattr(part, name, _shrunk(name, value, layers))
    if getattr(text, "sliding_window", None):
        text.sliding_window = _WINDOW
    if (getattr(text, "max_position_embeddings", None) or _LENGTH) < _LENGTH:
        text.max_position_embeddings = _LENGTH
    if narrow:
        _narrow(text)
    return whole


def _shorten(text: Any) -> int:
    """Leave the first layers, so many that each kind is among them; how many."""
    total = text.num_hidden_layers
    lists = {
        name: list(value)
        for name, value in vars(text).items()
        if isinstance(value, list | tuple) and len(value) == total
    }
    last = [max(map(each.index, each)) for each in lists.values() if _are_kinds(each)]
    dense = getattr(text, "first_k_dense_replace", None) or 0
    layers: int = min(total, max([_LAYERS, dense + 1, *(at + 1 for at in last)]))
    for name, value in lists.items():
        setattr(text, name, value[:layers])
    shared = getattr(text, "num_kv_shared_layers", None)
    if shared:
        text.num_kv_shared_layers = shared * layers // total
    text.num_hidden_layers = layers
    return layers


def _are_kinds(values: list[Any]) -> bool:
    return all(isinstance(value, str | int | bool) for value in values)


def _shrunk(name: str, value: Any, layers: int) -> Any:
    """A setting of the vocabulary or of a feed-forward block as it is in the small model."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    if "vocab_size" in name and whole:
        return min(value, _VOCABULARY)
    if name.endswith("_token_id"):
        if isinstance(value, list):
            return [each for each in value if each < _VOCABULARY] or None
        return min(value, _VOCABULARY - 1) if whole else value
    if "intermediate" in name or name in ("ffn_dim", "n_inner", "ffn_hidden_size"):
        if isinstance(value, list | tuple):
            return [_WIDTH] * layers
        return _WIDTH if whole and value else value
    if re.search(r"(soft|logit)_?cap", name):
        return min(value, _CAP) if isinstance(value, int | float) else value
    return value


def _narrow(text: Any) -> None:
    """Few heads of the size and the grouping that the model has."""
    heads = text.num_attention_heads
    keys = getattr(text, "num_key_value_heads", None) or heads
    size = getattr(text, "head_dim", None)
    few = 1 if keys == 1 else _HEADS
    text.num_attention_heads = few * min(heads // keys, 4)
    if getattr(text, "num_key_value_heads", None):
        text.num_key_value_heads = few
    each = size or text.hidden_size // heads
    text.hidden_size = _WIDTH if size else text.num_attention_heads * each
    if hasattr(text, "word_embed_proj_dim"):
        text.word_embed_proj_dim = text.hidden_size


@torch.no_grad()
def _sharpen(small: Any) -> None:
    """Random weights that keep activations large, and make logits large."""
    for parameter in small.parameters():
        noise = torch.randn_like(parameter)
        if parameter.dim() < 2:
            parameter.add_(noise * 0.1)
        else:
            parameter.copy_(noise * _GAIN * parameter.shape[-1] ** -0.5)


@torch.no_grad()
def _apart(small: Any, tokens: int) -> float:
    """How far log-probabilities are off, nats per token, in passes of so many tokens."""
    limits = Limits(tokens, rows=3, kept=1 << 24, few_shapes=True, ahead=1)
    requests = _requests(small)
    reader = Reader(small, torch.device("cpu"), limits, torch.float64)
    answers = dict(score(reader, [Plan(dict(enumerate(requests)), tokens)]))
    worst = 0.0
    for index, request in enumerate(requests):
        ids, last = torch.tensor(request.tokens)[None].long(), len(request.targets)
        table = small(ids, logits_to_keep=last).logits[0].double().log_softmax(-1)
        alone = sum(float(row[target]) for row, target in zip(table, request.targets, strict=True))
        off = abs(alone - answers[index][0]) / last
        worst = off if off != off else max(worst, off)
    return worst


@torch.no_grad()
def _strays(small: Any) -> bool:
    """Whether greedy continuations are other than the likeliest tokens of whole prompts."""
    limits = Limits(_PASSES[0], rows=3, kept=1 << 24, few_shapes=True, ahead=1)
    requests = _requests(small)
    prompts = [list(map(int, each.tokens)) for each in requests]
    asked = Asked(prompts, _CONTINUATION, frozenset(), lambda _: False)
    for index, found in list(continuations(Reader(small, torch.device("cpu"), limits), asked)):
        ids = torch.tensor([*prompts[index], *found[:-1]])[None]
        likeliest = small(ids, logits_to_keep=len(found)).logits[0].argmax(-1).tolist()
        if likeliest != found:
            return True
    return False


def _requests(small: Any) -> list[Request]:
    """Thirty tokens in common, four questions, two options each."""
    generator = torch.Generator().manual_seed(0)
    vocabulary = small.config.get_text_config().vocab_size
    length = int(min(longest_possible(small), _LENGTH))

    def some(count: int) -> list[int]:
        low, high = vocabulary // 8, max(vocabulary // 2, 2)  # special tokens stand at the ends
        return torch.randint(low, high, (count,), generator=generator).tolist()

    common, requests = some(30), []
    for size in (2, 5, 9, 40):
        question = common + some(size)
        requests += [Request.cut(question, some(count), length) for count in (1, 3)]
    return requests
