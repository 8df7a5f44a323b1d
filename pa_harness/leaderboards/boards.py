"""What each leaderboard ran, and which of lm-eval's and our tasks are the same measurement.

Sources: Open LLM Leaderboard v1, its own description (lm-eval at commit b281b092, six tasks, no
chat template); v2, lm-eval's group ``leaderboard`` and the Hub's page on its normalisation
(huggingface.co/docs/leaderboards/open_llm_leaderboard/normalization):

    normalised = max(0, (raw − b) / (1 − b))        b = 1 / number of options, per subtask

then the unweighted mean over a task's subtasks, then over the six tasks. GPQA and MMLU-Pro are
normalised whole; MATH and IFEval have b = 0. The raw number of a task is the mean over documents.
Documents are those of the published splits.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pa_harness.interchange.reported import NO, UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pa_harness.interchange.reported import Reported

# Where our few-shot suite asks the same documents in another way: said, not hidden.
_SAME_SHOTS = "demonstrations: the same for every document, the leaderboard drew them for each"
_LETTERS = "prompt: with lettered options"
_NO_LETTERS = "prompt: without lettered options"
_STOPS = "stops: the leaderboard also ended answers at ':'"


@dataclass(frozen=True)
class Part:
    """A subtask: the end of its name, its number of options, its documents."""

    name: str
    options: int
    documents: int


@dataclass(frozen=True)
class BoardTask:
    """One column of a leaderboard.

    Attributes:
        name: as in its published rows.
        title: as people write it.
        shots: demonstrations in a prompt.
        metrics: lm-eval's keys; the value is their mean.
        documents: of all parts.
        accepted: lm-eval's task (for parts, a pattern with ``{}``) -> versions that measure this;
            none where any does.
        near: tasks that measure something like it -> what differs, beside the number of documents.
        parts: subtasks; empty where the task has none.
        options: chance is 1 / options, where the task is normalised whole; 0 for chance 0.
        weighted: whether the raw value weights parts by documents.
        per_part: whether parts are normalised one by one.
        shared: whether several columns are metrics of the same answers.
    """

    name: str
    title: str
    shots: int
    metrics: tuple[str, ...]
    documents: int
    accepted: dict[str, tuple[str, ...]]
    near: dict[str, str] = field(default_factory=dict)
    parts: tuple[Part, ...] = ()
    options: int = 0
    weighted: bool = True
    per_part: bool = False
    shared: bool = False

    def leaves(self, pattern: str) -> list[str]:
        """lm-eval's leaf tasks of one of the patterns."""
        if "{}" not in pattern:
            return [pattern]
        return [pattern.format(part.name) for part in self.parts]

    def rows(self, published: Iterable[Reported]) -> list[Reported]:
        """Those of the rows that are of this column."""
        metrics = self.metrics[:1] if self.shared else ()
        found = (row for row in published if row.task == self.name)
        return [row for row in found if not metrics or row.metric in metrics]


@dataclass(frozen=True)
class Board:
    """A leaderboard, in one snapshot.

    Attributes:
        headline: the task and metric that rank its models.
        chat_template: `NO` where none was applied; `UNKNOWN` where it is row by row.
        normalized: whether its rows are.
        averaged: whether the headline is the mean of the tasks.
    """

    name: str
    snapshot: str
    title: str
    tasks: tuple[BoardTask, ...]
    headline: tuple[str, str]
    chat_template: str = UNKNOWN
    normalized: bool = False
    averaged: bool = True

    def rows(self, published: Iterable[Reported]) -> list[Reported]:
        """Those of the rows that are of this leaderboard, in this snapshot."""
        of_board = (row for row in published if row.leaderboard == self.name)
        return [row for row in of_board if row.snapshot in (self.snapshot, "")]


def _and_lite(near: dict[str, str]) -> dict[str, str]:
    """The tasks, and those of ``pa_icl_lite``, which ask a sample of the same documents."""
    lite = {name.replace("::", "_lite::"): note for name, note in near.items() if "::" in name}
    return near | lite | {f"{name}_lite": note for name, note in near.items() if "::" not in name}


_SUBJECTS = """abstract_algebra:100 anatomy:135 astronomy:152 business_ethics:100
clinical_knowledge:265 college_biology:144 college_chemistry:100 college_computer_science:100
college_mathematics:100 college_medicine:173 college_physics:102 computer_security:100
conceptual_physics:235 econometrics:114 electrical_engineering:145 elementary_mathematics:378
formal_logic:126 global_facts:100 high_school_biology:310 high_school_chemistry:203
high_school_computer_science:100 high_school_european_history:165 high_school_geography:198
high_school_government_and_politics:193 high_school_macroeconomics:390 high_school_mathematics:270
high_school_microeconomics:238 high_school_physics:151 high_school_psychology:545
high_school_statistics:216 high_school_us_history:204 high_school_world_history:237 human_aging:223
human_sexuality:131 international_law:121 jurisprudence:108 logical_fallacies:163
machine_learning:112 management:103 marketing:234 medical_genetics:100 miscellaneous:783
moral_disputes:346 moral_scenarios:895 nutrition:306 philosophy:311 prehistory:324
professional_accounting:282 professional_law:1534 professional_medicine:272
professional_psychology:612 public_relations:110 security_studies:245 sociology:201
us_foreign_policy:100 virology:166 world_religions:171"""
MMLU_SUBJECTS = tuple(
    Part(name, 4, int(documents))
    for name, _, documents in (text.partition(":") for text in _SUBJECTS.split())
)
_BBH = {  # options; lm-eval's doc_to_choice of leaderboard_bbh_*
    **{"boolean_expressions": 2, "causal_judgement": 2, "date_understanding": 6},
    **{"disambiguation_qa": 3, "formal_fallacies": 2, "geometric_shapes": 11, "hyperbaton": 2},
    **{"logical_deduction_five_objects": 5, "logical_deduction_seven_objects": 7},
    **{"logical_deduction_three_objects": 3, "movie_recommendation": 6, "navigate": 2},
    **{"object_counting": 19, "penguins_in_a_table": 5, "reasoning_about_colored_objects": 18},
    **{"ruin_names": 6, "salient_translation_error_detection": 6, "snarks": 2},
    **{"sports_understanding": 2, "temporal_sequences": 4},
    **{"tracking_shuffled_objects_five_objects": 5, "tracking_shuffled_objects_seven_objects": 7},
    **{"tracking_shuffled_objects_three_objects": 3, "web_of_lies": 2},
}
_FEWER = {"causal_judgement": 187, "penguins_in_a_table": 146, "snarks": 178}  # the others: 250
_MATH = {
    **{"algebra": 307, "counting_and_prob": 123, "geometry": 132, "intermediate_algebra": 280},
    **{"num_theory": 154, "prealgebra": 193, "precalculus": 135},
}
_V1 = (
    BoardTask(
        *("arc_challenge", "ARC", 25, ("acc_norm,none",), 1172),
        accepted={"pa_open_llm_v1_arc_challenge": ("1.0",), "arc_challenge": ("1.0",)},
        near=_and_lite({"pa_arc_challenge_cf": _SAME_SHOTS, "pa_arc_challenge_mcf": _LETTERS}),
    ),
    BoardTask(
        *("hellaswag", "HellaSwag", 10, ("acc_norm,none",), 10042),
        accepted={"pa_open_llm_v1_hellaswag": ("1.0",), "hellaswag": ("1.0",)},
        near=_and_lite({"pa_hellaswag_cf": _SAME_SHOTS, "pa_hellaswag_mcf": _LETTERS}),
    ),
    BoardTask(
        *("mmlu", "MMLU", 5, ("acc,none",), 14042),
        accepted={
            "mmlu_{}": ("1.0",),
            "pa_mmlu_mcf::{}": ("1.0",),  # the same prompts: the first five of the split dev
        },
        near={"pa_mmlu_mcf_lite::{}": "", **_and_lite({"pa_mmlu_cf::{}": _NO_LETTERS})},
        parts=MMLU_SUBJECTS,
        weighted=False,
    ),
    BoardTask(
        *("truthfulqa_mc2", "TruthfulQA", 0, ("acc,none",), 817),
        accepted={"pa_open_llm_v1_truthfulqa_mc2": ("1.0",), "truthfulqa_mc2": ("2.0", "3.0")},
    ),
    BoardTask(
        *("winogrande", "WinoGrande", 5, ("acc,none",), 1267),
        accepted={"pa_open_llm_v1_winogrande": ("1.0",), "winogrande": ("1.0",)},
        near=_and_lite({"pa_winogrande_cf": _SAME_SHOTS, "pa_winogrande_mcf": _LETTERS}),
    ),
    BoardTask(
        *("gsm8k", "GSM8K", 5, ("exact_match,strict-match",), 1319),
        accepted={"pa_open_llm_v1_gsm8k": ("1.0",)},
        near={"gsm8k": _STOPS, **_and_lite({"pa_gsm8k_gen": f"{_SAME_SHOTS}; {_STOPS}"})},
    ),
)


def _v2(math_metric: str) -> tuple[BoardTask, ...]:
    """The six tasks; MATH was scored by `math_metric` in the snapshot."""
    return (
        BoardTask(
            *("leaderboard_ifeval", "IFEval", 0),
            ("prompt_level_strict_acc,none", "inst_level_strict_acc,none"),
            541,
            accepted={"leaderboard_ifeval": ("2.0", "3.0")},
            near={"ifeval": "prompt: lm-eval's ifeval, not leaderboard_ifeval"},
        ),
        BoardTask(
            *("leaderboard_bbh", "BBH", 3, ("acc_norm,none",), 5761),
            accepted={"leaderboard_bbh_{}": ("1.0",)},
            parts=tuple(Part(name, k, _FEWER.get(name, 250)) for name, k in _BBH.items()),
            per_part=True,
        ),
        BoardTask(
            *("leaderboard_math_hard", "MATH level 5", 4, (math_metric,), 1324),
            accepted={"leaderboard_math_{}_hard": ("3.0",)},
            parts=tuple(Part(name, 0, n) for name, n in _MATH.items()),
        ),
        BoardTask(
            *("leaderboard_gpqa", "GPQA", 0, ("acc_norm,none",), 1192),
            accepted={"leaderboard_gpqa_{}": ("1.0",)},
            parts=(Part("diamond", 4, 198), Part("extended", 4, 546), Part("main", 4, 448)),
            options=4,
        ),
        BoardTask(
            *("leaderboard_musr", "MuSR", 0, ("acc_norm,none",), 756),
            accepted={"leaderboard_musr_{}": ("1.0",)},
            parts=(
                Part("murder_mysteries", 2, 250),
                Part("object_placements", 5, 256),
                Part("team_allocation", 3, 250),
            ),
            per_part=True,
        ),
        BoardTask(
            *("leaderboard_mmlu_pro", "MMLU-Pro", 5, ("acc,none",), 12032),
            accepted={"leaderboard_mmlu_pro": ("0.1",)},
            options=10,
        ),
    )


def _alpaca(metric: str, title: str) -> BoardTask:
    accepted: dict[str, tuple[str, ...]] = {"alpaca_eval": ()}
    return BoardTask("alpaca_eval", title, 0, (metric,), 805, accepted=accepted, shared=True)


_AVERAGE = ("average", "mean")
_WIN_RATES = (
    _alpaca("length_controlled_winrate", "length-controlled win rate"),
    _alpaca("win_rate", "win rate"),
)
BOARDS = (
    Board("open_llm_v1", "2024-06", "Open LLM Leaderboard v1", _V1, _AVERAGE, NO),
    Board(
        *("open_llm_v2", "2024-08", "Open LLM Leaderboard v2, August 2024"),
        *(_v2("exact_match_original,none"), _AVERAGE),
        normalized=True,
    ),
    Board(
        *("open_llm_v2", "final", "Open LLM Leaderboard v2, final archive"),
        *(_v2("exact_match,none"), ("", "")),  # raw numbers: it has no averages
        averaged=False,
    ),
    Board(
        *("alpaca_eval_2", "2024-12", "AlpacaEval 2", _WIN_RATES),
        *(("alpaca_eval", "length_controlled_winrate"),),
        averaged=False,
    ),
    Board(
        *("alpaca_eval_1", "2024-12", "AlpacaEval 1", _WIN_RATES[1:]),
        *(("alpaca_eval", "win_rate"),),
        averaged=False,
    ),
)
NAMES = tuple(dict.fromkeys(board.name for board in BOARDS))
