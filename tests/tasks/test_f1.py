"""F1 scores and their standard errors against other people's implementations and the bootstrap."""

from __future__ import annotations

import itertools
import math
import random
from typing import Any

import numpy as np
import pytest
from datasets import ClassLabel, Dataset
from lm_eval.tasks.drop.utils import process_results as drop
from seqeval.metrics import f1_score as seqeval_f1
from sklearn.metrics import f1_score
from suite_data import TAGS
from torchmetrics.functional.text import squad as torchmetrics_squad

from pa_harness.tasks import answers as extraction
from pa_harness.tasks import documents, f1

WORDS = [
    "the",
    "a",
    "an",
    "Paris",
    "paris,",
    "New-York",
    "(river)",
    "12",
    "12.0",
    "don't",
    "red.",
    "Red",
    "an",
    "apple",
    "Thee",
    "3,000",
]


def phrase(generator: random.Random, most: int = 5) -> str:
    return " ".join(generator.choices(WORDS, k=generator.randint(1, most)))


def test_squad_scores_are_the_official_ones() -> None:
    """1,000 random cases against torchmetrics' port of the official script (in percent)."""
    generator = random.Random(0)
    for case in range(1000):
        references = [phrase(generator) for _ in range(generator.randint(1, 3))]
        prediction = generator.choice([phrase(generator), generator.choice(references).upper()])
        ours = extraction.squad({"answers": {"text": references}}, [prediction])
        answers = {"answers": {"text": references, "answer_start": [0] * len(references)}}
        official = torchmetrics_squad(
            [{"prediction_text": prediction, "id": "1"}], [{**answers, "id": "1"}]
        )
        assert 100 * ours["exact_match"] == pytest.approx(float(official["exact_match"])), case
        assert 100 * ours["f1"] == pytest.approx(float(official["f1"]), abs=1e-4), case


def test_drop_scores_follow_their_definition() -> None:
    """1,000 random cases: the best one-to-one pairing of spans, found by trying all of them.

    A generation is one span. AllenNLP's own scorer agreed in 1,000 such cases, too.
    """
    generator = random.Random(1)
    for case in range(1000):
        golds = [
            [phrase(generator, 3) for _ in range(generator.randint(1, 3))]
            for _ in range(generator.randint(1, 2))
        ]
        spans = generator.choice(golds)
        prediction = generator.choice([phrase(generator), spans[0], " ".join(spans)])
        ours = drop({"answers": golds}, [prediction])
        pairs = [drop_by_hand([prediction], gold) for gold in golds]
        assert ours["em"] == max(em for em, _ in pairs), case
        assert ours["f1"] == pytest.approx(max(f for _, f in pairs)), case


def drop_by_hand(predicted: list[str], gold: list[str]) -> tuple[float, float]:
    """EM and F1 of Dua et al. 2019, section 5: bags of words, all pairings, numbers must agree."""
    plain = [drop_words(span) for span in predicted], [drop_words(span) for span in gold]
    em = float(sorted(map(" ".join, plain[0])) == sorted(map(" ".join, plain[1])))
    bags = [[set(words) for words in spans] for spans in plain]
    size = max(len(bags[0]), len(bags[1]))
    padded = [spans + [None] * (size - len(spans)) for spans in bags]
    best = max(
        sum(bag_f1(p, g) for p, g in zip(order, padded[1], strict=True))
        for order in itertools.permutations(padded[0])
    )
    return em, round(best / size, 2)


def bag_f1(predicted: set[str] | None, gold: set[str] | None) -> float:
    if predicted is None or gold is None:
        return 0.0
    numbers = {word for word in gold if is_number(word)}
    if numbers and not numbers & predicted:
        return 0.0
    both = len(predicted & gold)
    precision = both / len(predicted) if predicted else 1.0
    recall = both / len(gold) if gold else 1.0
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def drop_words(span: str) -> list[str]:
    words = []
    for word in span.lower().replace("-", " ").split(" "):
        plain = word if is_number(word) else "".join(c for c in word if c.isalnum())
        plain = str(float(plain)) if is_number(plain) else plain
        if plain and plain not in ("a", "an", "the"):
            words.append(plain)
    return words


def is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def bio(generator: random.Random, tokens: int) -> list[str]:
    """Random well-formed tags."""
    tags: list[str] = []
    while len(tags) < tokens:
        kind = generator.choice(documents.ENTITY_TYPES)
        inside = [f"B-{kind}"] + [f"I-{kind}"] * generator.randint(0, 2)
        tags += generator.choice([inside, ["O"] * generator.randint(1, 3)])
    return tags[:tokens]


def test_entity_f1_is_seqevals() -> None:
    """1,000 random tasks of a few sentences whose words differ, through the generated line."""
    generator = random.Random(2)
    for case in range(1000):
        gold, predicted, counts = [], [], []
        for sentence in range(generator.randint(1, 4)):
            tokens = [f"w{sentence}x{i}" for i in range(generator.randint(1, 9))]
            gold.append(bio(generator, len(tokens)))
            predicted.append(generator.choice([gold[-1], bio(generator, len(tokens))]))
            lines = [
                "; ".join(f"{text} ({kind})" for text, kind in documents.entities(tokens, tags))
                for tags in (gold[-1], predicted[-1])
            ]
            scored = extraction.wnut17({"entities": lines[0] or "none"}, [lines[1]])
            counts.append(scored["entity_f1"])
        ours, theirs = f1.entity_f1(counts), seqeval_f1(gold, predicted, zero_division=0)
        if sum(map(sum, counts)):
            assert ours == pytest.approx(theirs), case
        else:
            assert math.isnan(ours)


def test_wnut_rows_become_lines() -> None:
    rows = {
        "id": ["0", "1"],
        "tokens": [["Ann", "Lee", "left"], ["so"]],
        "ner_tags": [[9, 10, 0], [0]],
    }
    features = Dataset.from_dict(rows).features.copy()
    features["ner_tags"].feature = ClassLabel(names=TAGS)
    prepared = documents.wnut17(Dataset.from_dict(rows, features=features))
    assert prepared["entities"] == ["Ann Lee (person)", "none"]
    assert prepared["sentence"] == ["Ann Lee left", "so"]


def test_a_line_that_is_not_of_the_form_is_a_false_positive() -> None:
    doc = {"entities": "Paris (location); Ann (person)"}
    counts = {
        "paris (location)": (1, 0, 1),
        "Paris (city); Ann (person)": (1, 1, 1),
        "Paris (location); Paris (location)": (1, 1, 1),
        "Paris": (0, 1, 2),
        "none": (0, 0, 2),
        "": (0, 0, 2),
    }
    for line, expected in counts.items():
        assert extraction.wnut17(doc, [line])["entity_f1"] == expected, line


def random_pairs(generator: random.Random, n: int, classes: int) -> list[tuple[int, int]]:
    gold = [generator.randrange(classes) for _ in range(n)]
    return [(g, generator.choice([g, generator.randrange(classes)])) for g in gold]


def test_f1_macro_is_scikit_learns() -> None:
    generator = random.Random(3)
    for _ in range(200):
        pairs = random_pairs(generator, generator.randint(1, 30), generator.randint(2, 5))
        expected = f1_score(*zip(*pairs, strict=True), average="macro", zero_division=0)
        assert f1.f1_macro(pairs) == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["macro", "entity"])
def test_the_standard_error_is_the_bootstraps(kind: str) -> None:
    """Within a tenth of the standard deviation of 2,000 bootstrap samples."""
    generator, rng = random.Random(4), np.random.default_rng(0)
    items: list[Any]
    if kind == "macro":
        items, score, stderr = random_pairs(generator, 300, 3), f1.f1_macro, f1.f1_macro_stderr
    else:
        items = [tuple(generator.choices(range(4), k=3)) for _ in range(300)]
        score, stderr = f1.entity_f1, f1.entity_f1_stderr
    table = np.array(items)
    drawn = [score(table[rng.integers(0, 300, 300)]) for _ in range(2000)]
    assert stderr(items) == pytest.approx(np.std(drawn), rel=0.1)


def test_what_is_undefined_is_nan() -> None:
    for score in (f1.entity_f1, f1.f1_macro, f1.entity_f1_stderr, f1.f1_macro_stderr):
        assert math.isnan(score([]))
    assert math.isnan(f1.entity_f1([(0, 0, 0), (0, 0, 0)]))
    assert math.isnan(f1.entity_f1_stderr([(0, 0, 0), (0, 0, 0)]))
    assert math.isnan(f1.entity_f1_stderr([(1, 0, 0)]))
    assert math.isnan(f1.f1_macro_stderr([(1, 1)]))


def test_classification_takes_the_likeliest_option() -> None:
    scored = extraction.classification({"label": 2}, [(-3.0, False), (-1.0, True), (-2.0, False)])
    assert scored == {"acc": 0.0, "f1_macro": (2, 1), "f1_macro_stderr": (2, 1)}
