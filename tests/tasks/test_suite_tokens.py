"""Every shipped prompt with the tokenizer families of the field: one BOS, a clean boundary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from lm_eval.models.huggingface import HFLM
from suite_data import WORDS
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

if TYPE_CHECKING:
    from pathlib import Path

# Family: pre-tokenizer, model and its trainer, whether a BOS is added.
FAMILIES: dict[str, tuple[Any, Any, Any, bool]] = {
    "gpt2": (
        pre_tokenizers.ByteLevel(add_prefix_space=False),
        models.BPE,
        trainers.BpeTrainer,
        False,
    ),
    "llama3": (
        pre_tokenizers.ByteLevel(add_prefix_space=False),
        models.BPE,
        trainers.BpeTrainer,
        True,
    ),
    "llama2": (
        pre_tokenizers.Metaspace(prepend_scheme="first"),
        models.BPE,
        trainers.BpeTrainer,
        True,
    ),
    "gemma": (
        pre_tokenizers.Metaspace(prepend_scheme="never"),
        models.BPE,
        trainers.BpeTrainer,
        True,
    ),
    "unigram": (
        pre_tokenizers.Metaspace(prepend_scheme="always"),
        models.Unigram,
        trainers.UnigramTrainer,
        True,
    ),
}


def make_tokenizer(family: str) -> PreTrainedTokenizerFast:
    """A tokenizer of the family, trained on the made-up rows' words."""
    before, model, trainer, adds_bos = FAMILIES[family]
    core = Tokenizer(model())
    core.pre_tokenizer = before
    byte_level = family in ("gpt2", "llama3")
    core.decoder = decoders.ByteLevel() if byte_level else decoders.Metaspace()
    specials = ["<s>", "</s>", "<unk>"]
    letters = (
        pre_tokenizers.ByteLevel.alphabet() if byte_level else [chr(i) for i in range(33, 127)]
    )
    extra = {} if family != "unigram" else {"unk_token": "<unk>"}
    core.train_from_iterator(
        [f"Question: {word}\nAnswer: {word.title()} A. B. C. D." for word in WORDS] * 4,
        trainer(vocab_size=600, special_tokens=specials, initial_alphabet=letters, **extra),
    )
    if adds_bos:
        bos = ("<s>", core.token_to_id("<s>"))
        core.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[bos])
    return PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_prompts_tokenize_cleanly(
    family: str, tasks: dict[str, Any], pair: tuple[Path, Path]
) -> None:
    """One BOS or none, and context + continuation is split where the prompt says.

    A token across the boundary (a blank left at the context's end) would score another answer.
    """
    tokenizer = make_tokenizer(family)
    model = AutoModelForCausalLM.from_pretrained(pair[0])
    lm = HFLM(pretrained=model, tokenizer=tokenizer, device="cpu")
    for name, task in tasks.items():
        task.build_all_requests(limit=1)
        for request in task.instances:
            context, continuation = request.args[0], request.args[1]
            ids = lm.tok_encode(context) if context else []
            expected = int(FAMILIES[family][-1] and bool(context))
            assert ids.count(tokenizer.bos_token_id) == expected, name
            if request.request_type == "loglikelihood" and context:
                left, right = lm._encode_pair(context, continuation)
                assert left == ids, name
                assert left + right == lm.tok_encode(context + continuation), name
                assert tokenizer.unk_token_id not in right, name
                assert tokenizer.decode(right).strip() == continuation.strip(), name
