"""Templates and functions of strangers while a task is checked: confined, and never for ever."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from jinja2.exceptions import SecurityError
from lm_eval import utils
from lm_eval.tasks import _yaml_loader as loader
from own_tasks import TASK, findings, write

from pa_harness.cli.main import main
from pa_harness.tasks.authoring import confinement
from pa_harness.tasks.authoring.confinement import bounded, confined

if TYPE_CHECKING:
    from collections.abc import Iterator

ESCAPES = [
    "{{ cycler.__init__.__globals__.os.popen('touch ran').read() }}",
    "{{ question.__class__.__mro__[1].__subclasses__() }}",
    "{{ question | attr('__class__') }}",
    "{{ ''['format'].__globals__ }}",
    "{{ '{0.__class__.__init__}'.format(question) }}",
    "{{ lipsum.__globals__['os'].system('touch ran') }}",
    "{{ self.__init__.__globals__ }}",
    "{{ namespace.__init__.__globals__ }}",
]
LONG = [
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "{% macro m() %}{% for a in range(99999) %}{{ m() }}{% endfor %}{% endmacro %}{{ m() }}",
    "{{ ('a' * 40 + 'b') | regex_replace('(a+)+$', '') }}",
    "{{ question | center(3000000000) }}",
    "{{ 'x' * 10000000000 }}",
    "{{ 10000000000 * [question] }}",
    "{{ 7 ** 1000000000 }}",
    "{{ (7 ** 1000) ** 1000 ** 1000 }}",
    "{{ '%3000000000d' % 1 }}",
    "{{ range(10000000000) | list }}",
    "{{ lipsum(n=100000000) }}",
    "{{ ('a' | center(4000000)) | replace('a', 'b' | center(4000000)) | replace(' ', 'c' * 99) }}",
    "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(confinement, "RENDERING", 0.5)
    monkeypatch.setattr(confinement, "RUNNING", 0.5)
    before = signal.getsignal(signal.SIGALRM), utils.apply_template, loader._import_func_in_yml
    yield
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    now = signal.getsignal(signal.SIGALRM), utils.apply_template, loader._import_func_in_yml
    assert now == before


@pytest.mark.parametrize("template", ESCAPES)
def test_a_template_reaches_nothing(
    template: str, folder: Path, quick: None, capsys: pytest.CaptureFixture[str]
) -> None:
    write({"doc_to_text": template})
    assert main(["check-task", "odd.yaml"]) == 2
    said = capsys.readouterr()
    assert "unsafe" in said.err + said.out or "is undefined" in said.err + said.out
    assert not Path("ran").exists()


@pytest.mark.parametrize("template", LONG)
@pytest.mark.parametrize("field", ["doc_to_text", "doc_to_target", "description"])
def test_a_template_ends(
    template: str, field: str, folder: Path, quick: None, capsys: pytest.CaptureFixture[str]
) -> None:
    write({field: template})
    began = time.monotonic()
    assert main(["check-task", "odd.yaml"]) == 2
    assert time.monotonic() - began < 10
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    assert ("TaskError" in said.err) != ("error" in said.out)


def test_what_honest_templates_use_is_there(folder: Path) -> None:
    write(
        {
            "doc_to_text": "{% set n = namespace(s='') %}{% for w in question.split() %}"
            "{% set n.s = n.s + w[:20] | regex_replace('\\d', '#') + ' ' %}{% endfor %}"
            "{{ '=' * 3 }} {{ n.s | trim }} {{ 2 ** 3 }} {{ '%s' | format(label) }}\nAnswer:"
        }
    )
    assert [f for f in findings() if f.level == "error"] == []


FUNCTIONS = {
    "module": "while True:\n    pass\n",
    "process_docs": "import time\n\ndef f(docs):\n    time.sleep(600)\n",
    "doc_to_text": "def f(doc):\n    while True:\n        pass\n",
    "swallowing": "def f(doc):\n    while True:\n        try:\n            while True:\n"
    "                pass\n        except Exception:\n            pass\n",
}


@pytest.mark.parametrize("what", FUNCTIONS)
def test_a_function_ends(
    what: str, folder: Path, quick: None, capsys: pytest.CaptureFixture[str]
) -> None:
    field = "process_docs" if what in ("module", "process_docs") else "doc_to_text"
    write({field: None})
    Path("own.py").write_text(FUNCTIONS[what])
    with Path("odd.yaml").open("a") as file:
        file.write(f"{field}: !function own.f\n")
    began = time.monotonic()
    assert main(["check-task", "odd.yaml"]) == 2
    assert time.monotonic() - began < 10
    assert "it takes longer than 0.5 seconds" in capsys.readouterr().err


def test_many_slow_documents_end_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pa_harness.tasks.authoring.material._PATIENCE", 0.2)
    slow = "{% for a in range(99999) %}{% endfor %}" * 40
    write(
        {"doc_to_text": slow + "{{question}}"},
        [{"question": f"{n}", "label": 0} for n in range(99)],
    )
    assert main(["check-task", "odd.yaml"]) == 2
    assert "documents took more than 0.2 seconds. Look at fewer: --limit" in capsys.readouterr().err


def test_the_output_says_what_evaluating_does(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write({})
    main(["check-task", "odd.yaml"])
    assert "evaluating a task runs them, and its functions, as code" in capsys.readouterr().out


@pytest.mark.parametrize("metric", [{"metric": "somebody/theirs"}, {"metric": "../../x"}])
@pytest.mark.parametrize("more", [{}, {"hf_evaluate": True}])
def test_no_metric_is_fetched(
    metric: dict[str, str],
    more: dict[str, bool],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """lm-eval loads what it does not know from the Hub, code and all."""
    monkeypatch.setattr("evaluate.load", lambda *_, **__: pytest.fail("it was fetched"))
    write({"metric_list": [metric | {"aggregation": "mean", "higher_is_better": True} | more]})
    assert main(["check-task", "odd.yaml"]) == 2
    assert "would be fetched from the Hub and run" in capsys.readouterr().err


def test_bounds() -> None:
    with pytest.raises(TimeoutError, match=r"longer than 0\.1 seconds"), bounded(0.1):
        time.sleep(5)
    with bounded(5), bounded(0.05):  # within another, that one holds
        time.sleep(0.1)
    with pytest.raises(MemoryError), bounded(5, 1 << 26):
        bytearray(1 << 28)
    assert len(bytearray(1 << 28)) == 1 << 28


def test_all_texts_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confinement, "_ALL", 1000)
    with confined():
        for _ in range(10):
            utils.apply_template("{{ 'x' * 99 }}", {})
        with pytest.raises(SecurityError, match="more than a prompt can hold"):
            utils.apply_template("{{ 'x' * 99 }}", {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "num_fewshot: 3\n",
            r"odd\.yaml, line \d+: the key 'num_fewshot' stands here a second time",
        ),
        ("doc_to_text: x\n", r"the key 'doc_to_text' stands here a second time"),
        ("more: {a: 1, b: 2, a: 3}\n", r"the key 'a' stands here a second time"),
        ("include: twice\n", r"twice, line 2: the key 'a' stands here a second time"),
        ("more: &a [*a]\n", "contain themselves"),
        (f"more: {'[' * 9999}", "nested deeper than 64"),
    ],
)
def test_a_yaml_says_one_thing(
    text: str, message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write({})
    Path("twice").write_text("a: 1\na: 2\n")
    with Path("odd.yaml").open("a") as file:
        file.write(text)
    assert main(["check-task", "odd.yaml"]) == 2
    import re

    assert re.search(message, capsys.readouterr().err)


@pytest.mark.parametrize("line", ["task: odd", "task: 'odd'  # mine", 'task:   "odd"'])
def test_two_files_of_one_name(line: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write({})
    Path("another.yaml").write_text(f"{line}\ndoc_to_text: x\n")
    assert main(["check-task", "odd.yaml"]) == 2
    said = capsys.readouterr().err
    assert "another.yaml and odd.yaml both name the task 'odd'" in said
    Path("another.yaml").write_text("task: odds\ndoc_to_text: 'task: odd'\n")
    assert main(["check-task", "odd.yaml"]) == 0


def test_the_yamls_of_lm_eval_are_let_pass() -> None:
    """14 of them have a key twice, which nobody here can correct."""
    from pa_harness.tasks.authoring.yaml_file import read_yaml

    file = Path(loader.__file__).parent / "tinyBenchmarks" / "tinyMMLU.yaml"
    assert read_yaml(file, functions=False)["task"] == "tinyMMLU"


def test_a_column_that_jinja_takes_for_a_constant(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("true", "false", "none", "True", "None"):
        rows = [
            {"question": f"q{n}", name: f"x{n}", "other": f"y{n}", "label": n % 2} for n in range(9)
        ]
        template = f"{{{{[{name}, other]}}}}"
        write({"doc_to_choice": template, "num_fewshot": 0, "fewshot_split": None}, rows)
        assert main(["check-task", "odd.yaml"]) == 2
        assert f"uses {name!r}, which Jinja takes for its constant" in capsys.readouterr().err
        Path("d.jsonl").write_text("\n".join(map(json.dumps, rows)))
        asked = ["new-task", "d.jsonl", "--scoring", "cf", "--choices", f"{name},other", "--answer"]
        assert main([*asked, "label", "--force"]) == 2
        assert f"the column name {name!r} (--choices) cannot stand" in capsys.readouterr().err


def test_a_group_that_averages_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write({})
    for metric, code in (("exact_match", 2), ("acc_norm", 2), ("acc", 0)):
        rows = f"aggregate_metric_list: [{{metric: {metric}, weight_by_size: true}}]"
        Path("both.yaml").write_text(f"group: both\ntask: [odd]\n{rows}\n")
        assert main(["check-task", "both.yaml"]) == code
        said = capsys.readouterr().out
        told = f"it averages {metric} (none), which 1 of its 1 tasks do not measure (odd)"
        assert (told in said) == bool(code)
    rows = "aggregate_metric_list: [{metric: acc, filter_list: [strict], weight_by_size: true}]"
    Path("both.yaml").write_text(f"group: both\ntask: [odd]\n{rows}\n")
    assert main(["check-task", "both.yaml"]) == 2
    assert "it averages acc (strict)" in capsys.readouterr().out
    assert TASK["metadata"]["metric"] == "acc,none"
