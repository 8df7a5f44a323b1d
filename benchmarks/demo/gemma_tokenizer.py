"""Gemma's tokenizer, rebuilt from the vocabulary in a GGUF file.

SentencePiece BPE: spaces become ▁, two pieces merge if their concatenation is in the vocabulary,
lower ids first, and what is not in the vocabulary falls back to its UTF-8 bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


PAD, EOS, BOS, UNK = 0, 1, 2, 3
_NORMAL, _CONTROL, _USER = 1, 3, 4  # GGUF's token types; 6 is a byte
# Gemma's published turn format. The base model has the turn tokens but was never trained on them.
CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{% if message['role'] not in ('user', 'assistant') %}"
    "{{ raise_exception('only user and assistant turns, not ' ~ message['role']) }}"
    "{% endif %}"
    "{{ '<start_of_turn>' }}"
    "{{ 'model' if message['role'] == 'assistant' else 'user' }}"
    "{{ '\\n' ~ (message['content'] | trim) ~ '<end_of_turn>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"
)


def merges_of(vocabulary: dict[str, int], mergeable: set[str]) -> list[tuple[str, str]]:
    """All pairs whose concatenation is a piece, in the order in which they are to be merged.

    Args:
        vocabulary: id by piece.
        mergeable: the pieces that may take part: not the control tokens, not the bytes.

    Returns:
        The pairs; those that make a lower id come first.
    """
    merges = []
    for piece in sorted(mergeable, key=vocabulary.__getitem__):
        pairs = [(piece[:cut], piece[cut:]) for cut in range(1, len(piece))]
        merges += sorted(
            (pair for pair in pairs if pair[0] in mergeable and pair[1] in mergeable),
            key=lambda pair: (vocabulary[pair[0]], vocabulary[pair[1]]),
        )
    return merges


def build_tokenizer(pieces: list[str], types: list[int], folder: Path) -> None:
    """Write the tokenizer of the base model (no chat template).

    Args:
        pieces: the vocabulary in the order of the ids.
        types: GGUF's token type of each.
        folder: where to write it.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    # The file writes runs of spaces as such; the normaliser makes ▁ of every space.
    pieces = [piece.replace(" ", "▁") for piece in pieces]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    # The line break is marked as a control token in the file; it is text.
    kinds = [
        _USER if kind == _CONTROL and not piece.strip() else kind
        for piece, kind in zip(pieces, types, strict=True)
    ]
    # Runs of white space merge as well: a run of spaces is no added token, it is seen as ▁▁▁.
    mergeable = {
        piece
        for piece, kind in zip(pieces, kinds, strict=True)
        if kind == _NORMAL or (kind == _USER and not piece.strip("▁\n\t"))
    }
    merges = merges_of(vocabulary, mergeable)
    backend = Tokenizer(
        models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True)
    )
    backend.normalizer = normalizers.Replace(" ", "▁")
    backend.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    backend.post_processor = TemplateProcessing(
        single="<bos> $A", pair="<bos> $A <bos>:1 $B:1", special_tokens=[("<bos>", BOS)]
    )
    backend.add_tokens(
        [
            AddedToken(piece, normalized=False, special=kind == _CONTROL)
            for piece, kind in zip(pieces, kinds, strict=True)
            if kind in (_CONTROL, _USER)
        ]
    )
    wrap: Any = PreTrainedTokenizerFast  # untyped
    tokenizer = wrap(
        tokenizer_object=backend,
        bos_token=pieces[BOS],
        eos_token=pieces[EOS],
        pad_token=pieces[PAD],
        unk_token=pieces[UNK],
    )
    tokenizer.save_pretrained(folder)
