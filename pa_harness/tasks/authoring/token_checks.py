"""What a tokenizer makes of the border between prompt and answer, and of the letters of options."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pa_harness.errors import TaskError, first_line
from pa_harness.tasks.authoring.material import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pa_harness.tasks.authoring.material import Material, Prompt


def token_findings(material: Material, tokenizers: list[str]) -> Iterator[Finding]:
    """Findings for each tokenizer; a note where none was given.

    Args:
        material: the task; only options that are scored by likelihood have a border that counts.
        tokenizers: folders or hub ids.

    Raises:
        TaskError: one cannot be loaded.
    """
    if not material.scored_by_choice or not material.prompts:
        return
    if not tokenizers:
        yield Finding(
            "note",
            "how the answers are cut into tokens was not checked.",
            "Pass --tokenizer FOLDER_OR_ID, the model's.",
        )
    for name in tokenizers:
        tokenizer = read_tokenizer(name)
        yield from _border(material.prompts, tokenizer, name)
        if all(re.fullmatch(r"\s*\w", text) for text in material.prompts[0].continuations):
            yield from _letters(material.prompts[0], tokenizer, name)


def read_tokenizer(name: str) -> Any:
    """The tokenizer of a folder or a hub id.

    Raises:
        TaskError: transformers cannot load it.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(name)
    except Exception as error:  # the tokenizers library raises bare Exception
        raise TaskError(
            f"The tokenizer {name} cannot be loaded: {first_line(error)}. Expected a folder with "
            "a tokenizer, or a hub id that can be reached from here."
        ) from error


def _border(prompts: list[Prompt], tokenizer: Any, name: str) -> Iterator[Finding]:
    """Whether the prompt's tokens stay the same when the answer follows.

    lm-eval scores the tokens after as many as the prompt alone has; blanks at its end it counts to
    the answer.
    """
    moved = []
    for prompt in prompts:
        context = prompt.context.rstrip()
        blanks = prompt.context[len(context) :]
        alone = tokenizer(context).input_ids
        for text in prompt.continuations:
            whole = tokenizer(context + blanks + text).input_ids
            if whole[: len(alone)] != alone or len(whole) == len(alone):
                moved.append(context[-8:] + blanks + text)
    if moved:
        yield Finding(
            "warning",
            f"{name}: the answer's first letters become part of the prompt's last token in "
            f"{len(moved)} answers, so other text is scored; the first: {moved[0]!r}.",
            'Separate prompt and answer by a blank: target_delimiter: " ".',
        )
    else:
        yield Finding("note", f"{name}: prompt and answer meet at a token border.")


def _letters(prompt: Prompt, tokenizer: Any, name: str) -> Iterator[Finding]:
    """One token for each letter, all different, and the same as where the options are shown."""
    context = prompt.context.rstrip()
    before = len(tokenizer(context).input_ids)
    scored = [tuple(tokenizer(context + t).input_ids[before:]) for t in prompt.continuations]
    texts = list(prompt.continuations)
    long = [text for text, ids in zip(texts, scored, strict=True) if len(ids) != 1]
    if len(set(scored)) < len(scored):
        yield Finding(
            "error",
            f"{name}: some of the answers {texts} are the same tokens, so they score the same.",
            "Use letters that the tokenizer tells apart.",
        )
    elif long:
        yield Finding(
            "warning",
            f"{name}: {', '.join(map(repr, long))} are more than one token each.",
            "Letters of one token are scored in one step: use A, B, C, ...",
        )
    else:
        bare = [tuple(tokenizer(t.strip(), add_special_tokens=False).input_ids) for t in texts]
        same = "the same as" if bare == scored else "another token than"
        yield Finding(
            "note",
            f"{name}: each of {', '.join(map(repr, texts))} is one token, {same} "
            f"{texts[0].strip()!r} without the blank.",
        )
    differing = [
        text
        for text, ids in zip(texts, scored, strict=True)
        if not _shown_as_scored(text, ids, prompt.context[-prompt.own :], tokenizer)
    ]
    if differing:
        yield Finding(
            "warning",
            f"{name}: the options are shown with other tokens than the ones that are scored "
            f"({', '.join(map(repr, differing))}).",
            'Show them as they are scored: a blank before the letter, "\\n A. ...".',
        )


def _shown_as_scored(text: str, ids: tuple[int, ...], own: str, tokenizer: Any) -> bool:
    """Whether the line that shows the option starts with the scored tokens; True without one."""
    lines = re.findall(rf"^[ \t]*\(?{re.escape(text.strip())}[.):].*$", own, re.MULTILINE)
    start = len(tokenizer("\n", add_special_tokens=False).input_ids)
    cut = [tokenizer("\n" + line, add_special_tokens=False).input_ids[start:] for line in lines]
    return not lines or any(tuple(found[: len(ids)]) == ids for found in cut)
