"""What a checkpoint's tensor is a part of, told from its name: layer and modules."""

from __future__ import annotations

import re

MODULES = {  # name in a rule: parts of a tensor's name, one of which must be there
    "attn": r"self_attn|attn|attention|self_attention",
    "q": r"q_proj|wq",
    "k": r"k_proj|wk",
    "v": r"v_proj|wv",
    "o": r"o_proj|out_proj|wo",
    "mlp": r"mlp|feed_forward|ffn|block_sparse_moe",
    "embed": r"embed_tokens|embed_in|embed_positions|wte|wpe|embeddings|word_embeddings",
    "norm": r".*norm|ln_\w+|.*layernorm\w*|layer_norm\w*",
    "lm_head": r"lm_head|embed_out",
    "experts": r"experts",
}
_ATTENTION_OUT = r"(attn|attention)\.(c_proj|dense)\."  # gpt-2 and gpt-neox have no o_proj


def layer_of(key: str) -> int | None:
    """The layer (from 0) that a tensor's name puts it in; None outside the layers."""
    found = re.search(r"(?:^|\.)(\d+)\.", key)
    return int(found.group(1)) if found else None


def modules_of(key: str) -> set[str]:
    """The names of `MODULES` that a tensor belongs to; a norm of the attention has two."""
    parts = key.split(".")
    found = {name for name, form in MODULES.items() if any(re.fullmatch(form, p) for p in parts)}
    return found | {"o"} if re.search(_ATTENTION_OUT, key) else found
