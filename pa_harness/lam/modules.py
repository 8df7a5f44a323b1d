"""What the module words of a schedule mean in a parameter's name, in every family.

    attn      what mixes tokens: attention of every kind, linear attention, Mamba, convolutions
    q k v o   its projections, where they are tensors of their own
    mlp       what works on one token: feed-forward, experts, shared experts, routers
    experts   the routed and shared experts of mlp (or of the attention: JetMoE)
    norm      every norm (a norm of the attention is in attn as well)
    embed     embeddings; lm_head: the head
    other     of a layer what none of these is (scales of residuals, per-layer embeddings), and what
              serves images and sounds

Every parameter of a decoder layer is in at least one.
"""

from __future__ import annotations

import re

_FORMS = {  # word: a part of the name, one of which must be there
    "attn": r".*attn.*|.*attentions?|.*attention_.*|mamba.*|mixer|conv|temporal_block|mlstm_layer",
    "mlp": r".*mlps?|mlp_.*|.*_mlp_.*|feed_forward|ffns?|ffn_.*|ff|.*moe|fc\d|intermediate.*"
    r"|densereludense|router",
    "norm": r".*norm.*|ln|ln_?\w+|.*_ln",
    "embed": r"embed_tokens|embed_in|embed_positions|wte|wpe|embeddings|word_embeddings",
    "lm_head": r"lm_head|embed_out",
    "experts": r"(.*_)?experts?(_.*)?",
}
_PROJECTIONS = {  # of attn
    "q": r"q|q_\w*proj|wq|query(_proj)?|q_lin",
    "k": r"k|k_\w*proj|wk|key(_proj)?|k_lin",
    "v": r"v|v_\w*proj|wv|value(_proj)?|v_lin",
    "o": r"o|o_\w*proj|wo|out_proj|out_lin|linear_out",
}
MODULES = ("attn", *_PROJECTIONS, "mlp", "embed", "norm", "lm_head", "experts", "other")
_ATTENTION_OUT = r"attn\.c_proj\.|attention\.(dense|output\.dense)\."  # these have no o_proj
_BERT_MLP = r"\.layer\.\d+\.output\."  # beside attention.output
_MLP_OF_MIXER = r"\.mixer\.(gate|up_proj|down_proj|experts|shared_experts)\b"  # NemotronH
_NOT_TEXT = r".*(vision|visual|image|audio|vqmodel|projector|qformer|resampler|aligner|sam_).*"


def layer_of(name: str) -> int | None:
    """The layer (from 0) that a parameter's name puts it in; None outside the text's layers."""
    found = re.search(r"(?:^|\.)(\d+)\.", name)
    return int(found.group(1)) if found and not _serves_no_text(name) else None


def modules_of(name: str) -> set[str]:
    """The words of `MODULES` that a parameter belongs to; a norm of the attention has two."""
    if _serves_no_text(name):
        return {"other"}
    parts = name.lower().split(".")
    norms = [part for part in parts if re.fullmatch(_FORMS["norm"], part)]
    found = {"norm"} if norms else set()
    for word, form in _FORMS.items():
        if any(re.fullmatch(form, part) for part in parts if part not in norms):
            found.add(word)
    if re.search(_MLP_OF_MIXER, name):
        found = found - {"attn"} | {"mlp"}
    if "attn" not in found and ("experts" in found or re.search(_BERT_MLP, name)):
        found.add("mlp")
    if "attn" in found:
        found |= {
            w for w, form in _PROJECTIONS.items() if any(re.fullmatch(form, p) for p in parts)
        }
        found |= {"o"} if re.search(_ATTENTION_OUT, name) else set()
    return found or ({"other"} if layer_of(name) is not None else set())


def _serves_no_text(name: str) -> bool:
    return any(re.fullmatch(_NOT_TEXT, part) for part in name.split("."))
