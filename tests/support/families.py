"""Small random checkpoints of the model families that matter, and a tokenizer for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

if TYPE_CHECKING:
    from pathlib import Path

VOCABULARY = 320
_TEXT = [
    "Question: which of these is a colour? Answer: blue. Is the film good? It is a great film.",
    "The quick brown fox jumps over the lazy dog; entity, location, number, description, human.",
]
_SHAPE = {"vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48}
_HEADS = {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
_ENDS = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
_LLAMA = _SHAPE | _HEADS | _ENDS | {"max_position_embeddings": 256}
_GPT2 = {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256}
_NEOX = _SHAPE | _ENDS | {"num_hidden_layers": 2, "num_attention_heads": 4}
_GEMMA = _LLAMA | {"head_dim": 8, "sliding_window": 16}
_GLM = _LLAMA | {
    **{"head_dim": 8, "n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16},
    **{"first_k_dense_replace": 1, "n_shared_experts": 1},
}

FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LlamaForCausalLM", _LLAMA),
    "llama-tied": ("LlamaForCausalLM", _LLAMA | {"tie_word_embeddings": True}),
    "mistral": ("MistralForCausalLM", _LLAMA | {"sliding_window": 16, "head_dim": 8}),
    "mixtral": ("MixtralForCausalLM", _LLAMA | {"num_local_experts": 4, "head_dim": 8}),
    "gemma-2": ("Gemma2ForCausalLM", _GEMMA),
    "gemma-3": ("Gemma3ForCausalLM", _GEMMA),
    "olmo": ("OlmoForCausalLM", _LLAMA),
    "olmo-2": ("Olmo2ForCausalLM", _LLAMA),
    "qwen-2.5": ("Qwen2ForCausalLM", _LLAMA | {"tie_word_embeddings": True}),
    "qwen-3": ("Qwen3ForCausalLM", _LLAMA | {"head_dim": 8}),
    "glm-4-moe": ("Glm4MoeForCausalLM", _GLM),
    "gpt-2": ("GPT2LMHeadModel", _GPT2 | _ENDS),
    "gpt-neox": ("GPTNeoXForCausalLM", _NEOX | {"max_position_embeddings": 256}),
}
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<turn>{{ m['role'] }}\n{{ m['content'] }}<end>\n"
    "{% endfor %}{% if add_generation_prompt %}<turn>assistant\n{% endif %}"
)


def make_model(family: str, *, seed: int, **overrides: Any) -> Any:
    """A random model of the family; its weights are spread enough to give distinct answers."""
    name, settings = FAMILIES[family]
    cls = getattr(transformers, name)
    torch.manual_seed(seed)
    model = cls(cls.config_class(**{**settings, **overrides}))
    with torch.no_grad():
        for tensor in _stored(model):
            tensor.add_(torch.randn_like(tensor) * 0.05)
    return model


def _stored(model: Any) -> list[torch.Tensor]:
    """Parameters, and the buffers that are saved with them (GLM's router bias)."""
    saved = model.state_dict()
    buffers = [b for name, b in model.named_buffers() if name in saved and b.is_floating_point()]
    return [*model.parameters(), *buffers]


def make_instruct(base: Any, *, seed: int, size: float = 0.05) -> Any:
    """The base moved by a random difference of the given relative size."""
    import copy

    instruct = copy.deepcopy(base)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in _stored(instruct):
            step = torch.randn(tensor.shape, generator=generator).to(tensor.dtype)
            tensor.add_(step * tensor.std() * size if tensor.numel() > 1 else step)
    return instruct


def make_tokenizer(*, chat: bool = False, extra: tuple[str, ...] = ()) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of fewer than `VOCABULARY` tokens, with BOS added by itself."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    special = ["<s>", "</s>", "<pad>", "<end>", "<turn>"]
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(_TEXT, trainer)
    core.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 0)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<s>",
        eos_token="<end>" if chat else "</s>",
        pad_token="<pad>",
    )
    if extra:
        tokenizer.add_special_tokens({"additional_special_tokens": list(extra)})
    if chat:
        tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def save(model: Any, folder: Path, *, chat: bool = False, **options: Any) -> Path:
    """A checkpoint folder: weights, configuration, tokenizer; a chat model stops at <end> too."""
    if chat:
        model.generation_config.eos_token_id = [1, 3]
        model.generation_config.do_sample = True
        model.generation_config.repetition_penalty = 1.3
    model.save_pretrained(folder, **options)
    make_tokenizer(chat=chat).save_pretrained(folder)
    return folder


def make_pair(
    family: str, folder: Path, dtype: torch.dtype = torch.float32, **options: Any
) -> tuple[Path, Path]:
    """Folders of a base and an instruct model of the family."""
    base = make_model(family, seed=1)
    instruct = make_instruct(base, seed=2)
    return (
        save(base.to(dtype), folder / "base", **options),
        save(instruct.to(dtype), folder / "instruct", chat=True, **options),
    )
