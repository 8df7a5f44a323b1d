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
from pa_harness.prefixes.decoding.generation import Asked
from pa_harness.prefixes.forms import FORMS, Form
from pa_harness.prefixes.limits import Limits, largest
from pa_harness.prefixes.reading import Reader
from pa_harness.prefixes.scoring import Request

TOLERANCE = 1e-5  # nats per token, where 1e-6 is what the order of fp32 operations makes
_COARSE = 1e-3  # nats per token; a wrong state is off by 0.01 and more
_WINDOWS = (
    *("sliding_window", "attention_chunk_size", "index_topk", "keep_window_size"),
    "floor_scale",  # of Llama 4: queries grow from so many tokens on
)
_WINDOW = 7  # tokens, of layers that have one
_CAP = 1.5  # of scores and logits that are capped: as small as the scores are
_VOCABULARY, _HEADS, _WIDTH = 512, 2, 64
_LENGTH = 128  # tokens, more than any request has
_LAYERS = 2  # at least; more where the kinds of layers need them
_ALL = 0  # layers, where their number is made of other settings
_PASSES = (24, 256)  # tokens: the path in pieces and small subtrees; one that is tiled
_CONTINUATION = 6  # tokens
_DECAY = -2.0  # logarithm of a state's decay per unit of time
_GAIN = 1.2  # of random weights: attention is sharp, logits are large


def shrunken(model: Any) -> Any:
    """A small random model in fp32, on the CPU, of a model's class and configuration.

    Layers of every kind stay, and what is counted per head; widths, layers and vocabulary shrink.

    Raises:
        NotATreeError: neither that nor a copy that is only shorter can be made.
    """
    errors = []
    for narrow, times in ((True, 1), (True, 2), (True, _ALL), (False, 1), (False, 2)):
        config = _smaller(model.config, times, narrow=narrow)
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


def chosen(model: Any) -> tuple[Form | None, str]:
    """The first form that suits a model; or None, and why none does."""
    reason = ""
    for form in FORMS:
        reason = form.obstacle(model) or disagreement(model, form) or ""
        if not reason:
            return form, ""
    return None, reason


def disagreement(model: Any, form: Form) -> str | None:
    """Send small trees through a shrunken copy both ways; None if the log-probabilities agree.

    Args:
        model: a decoder.
        form: that has no obstacle in it.
    """
    try:
        small = shrunken(model)
        worst = max(_apart(small, form, tokens) for tokens in _PASSES)
        if not worst <= TOLERANCE and not worst <= min(_rounding(small), _COARSE):  # or NaN
            return f"a trial gave log-probabilities that are off by {worst:.2g} nats"
        return "a trial gave other continuations" if _strays(small, form) else None
    except (NotATreeError, AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        return f"{type(model).__name__} refuses: {type(error).__name__}: {error}"


def _smaller(config: Any, times: int, *, narrow: bool) -> Any:
    """The configuration with few layers and a small vocabulary, and with narrow ones if wished.

    Of layers of every kind there are so many at least (some share their weights with others).
    """
    whole = copy.deepcopy(config)
    text = whole.get_text_config(decoder=True)
    layers = _shorten(text, times)
    for part in {id(each): each for each in (whole, text)}.values():
        for name, value in list(vars(part).items()):
            if isinstance(value, transformers.PretrainedConfig):
                if value is not text:
                    value.num_hidden_layers = 1  # towers of other kinds
            else:
                setattr(part, name, _shrunk(name, value, layers))
    for name in _WINDOWS:
        if getattr(text, name, None):
            setattr(text, name, _WINDOW)
    if (getattr(text, "max_position_embeddings", None) or _LENGTH) < _LENGTH:
        text.max_position_embeddings = _LENGTH
    if narrow:
        _narrow(text)
    return whole


def _shorten(text: Any, times: int) -> int:
    """Leave the first layers, so many that each kind is among them; how many."""
    total: int = text.num_hidden_layers
    if times == _ALL:
        return total
    lists = {
        name: list(value)
        for name, value in vars(text).items()
        if isinstance(value, list | tuple) and len(value) == total
    }
    last = [_until(each, times) for each in lists.values() if _are_kinds(each)]
    dense = getattr(text, "first_k_dense_replace", None) or 0
    layers = min(total, max([_LAYERS, dense + 1, *(at + 1 for at in last)]))
    for name, value in lists.items():
        setattr(text, name, value[:layers])
    shared = getattr(text, "num_kv_shared_layers", None)
    if shared:
        text.num_kv_shared_layers = shared * layers // total
    text.num_hidden_layers = layers
    return layers


def _until(kinds: list[Any], times: int) -> int:
    """The index at which every kind has come so many times, or as often as it does."""
    places = [[at for at, each in enumerate(kinds) if each == kind] for kind in set(kinds)]
    return max(each[:times][-1] for each in places)


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
    heads = largest(text, "num_attention_heads")
    if not heads:  # then nothing is counted per head but by the layers' own rules
        return
    keys = largest(text, "num_key_value_heads") or heads
    size = largest(text, "head_dim")
    few = 1 if keys == 1 else _HEADS
    text.num_attention_heads = few * min(heads // keys, 4)
    if largest(text, "num_key_value_heads"):
        text.num_key_value_heads = few
    each = size or text.hidden_size // heads
    text.hidden_size = _WIDTH if size else few * min(heads // keys, 4) * each
    if hasattr(text, "word_embed_proj_dim"):
        text.word_embed_proj_dim = text.hidden_size


@torch.no_grad()
def _sharpen(small: Any) -> None:
    """Random weights that keep activations large, and make logits large."""
    for name, parameter in small.named_parameters():
        noise = torch.randn_like(parameter)
        if name.endswith("A_log"):  # of states: they forget slowly, so that it matters which it is
            parameter.copy_(noise * 0.5 + _DECAY)
        elif parameter.dim() < 2:
            parameter.add_(noise * 0.1)
        else:
            parameter.copy_(noise * _GAIN * parameter.shape[-1] ** -0.5)


@torch.no_grad()
def _apart(small: Any, form: Form, tokens: int) -> float:
    """How far log-probabilities are off, nats per token, in passes of so many tokens."""
    limits = Limits(tokens, rows=3, kept=1 << 24, few_shapes=True, ahead=1, pass_cost=1)
    requests = _requests(small)
    reader = Reader(
        small,
        torch.device("cpu"),
        limits,
        torch.float64,
        positions=form.positions,
        uneven=form.uneven,
    )
    plan = form.planner(reader)(dict(enumerate(requests)), None)
    answers = dict(form.score(reader, [plan]))
    worst = 0.0
    for index, request in enumerate(requests):
        ids, last = torch.tensor(request.tokens)[None].long(), len(request.targets)
        table = small(ids).logits[0, -last:].double().log_softmax(-1)
        alone = sum(float(row[target]) for row, target in zip(table, request.targets, strict=True))
        off = abs(alone - answers[index][0]) / last
        worst = off if off != off else max(worst, off)
    return worst


@torch.no_grad()
def _rounding(small: Any) -> float:
    """How far log-probabilities change if weights do by less than they are rounded, nats."""
    rounded = copy.deepcopy(small)
    ids = torch.tensor(_requests(small)[-1].tokens)[None].long()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for parameter in rounded.parameters():
            parameter.mul_(1 + torch.randn_like(parameter) * torch.finfo(torch.float32).eps / 2)
    tables = [each(ids).logits[0].double().log_softmax(-1) for each in (small, rounded)]
    return float((tables[0] - tables[1]).abs().max())


@torch.no_grad()
def _strays(small: Any, form: Form) -> bool:
    """Whether greedy continuations are other than the likeliest tokens of whole prompts."""
    limits = Limits(_PASSES[0], rows=3, kept=1 << 24, few_shapes=True, ahead=1, pass_cost=1)
    requests = _requests(small)
    prompts = [list(map(int, each.tokens)) for each in requests]
    asked = Asked(prompts, _CONTINUATION, frozenset(), lambda _: False)
    reader = Reader(
        small, torch.device("cpu"), limits, positions=form.positions, uneven=form.uneven
    )
    for index, found in list(form.continuations(reader, asked)):
        ids = torch.tensor([*prompts[index], *found[:-1]])[None]
        likeliest = small(ids).logits[0, -len(found) :].argmax(-1).tolist()
        if likeliest != found:
            return True
    return False


def _requests(small: Any) -> list[Request]:
    """Thirty tokens in common, four questions of many lengths, four options each."""
    generator = torch.Generator().manual_seed(0)
    vocabulary = small.config.get_text_config().vocab_size
    length = int(min(longest_possible(small), _LENGTH))

    def some(count: int) -> list[int]:
        low, high = vocabulary // 8, max(vocabulary // 2, 2)  # special tokens stand at the ends
        return torch.randint(low, high, (count,), generator=generator).tolist()

    common, requests = some(30), []
    for size in (2, 5, 9, 40):
        question = common + some(size)
        requests += [Request.cut(question, some(count), length) for count in (1, 3, 1, 3)]
    return requests
