"""How lm-eval learns of us: the startup hook, the entry point, and what they must not disturb."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path

import pytest

from pa_harness.registration import MODELS, results_name
from pa_harness.tasks.shipped import tasks_folder

ROOT = Path(__file__).parents[1]
HOOK = (ROOT / "pa_harness" / "pa_harness.pth").read_text()
KNOWS = "from lm_eval.api.registry import get_model; print(get_model('{}').__name__)"


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
    )


def test_a_fresh_interpreter_knows_our_model_and_the_built_in_ones() -> None:
    code = (
        "from lm_eval.api.registry import get_model, model_registry as r;"
        "import lm_eval.models; print('partially_adapted' in r, 'hf' in r, 'vllm' in r)"
    )
    assert python(code).stdout.split() == ["True", "True", "True"]


def test_the_hook_can_be_switched_off() -> None:
    code = "import lm_eval.models; from lm_eval.api.registry import model_registry as r;"
    code += "print('partially_adapted' in r)"
    assert python(code, PA_HARNESS_HOOK="0").stdout.split() == ["False"]
    assert python(code).stdout.split() == ["True"]


def test_a_python_start_loads_nothing_heavy() -> None:
    """Only the package's docstring and the hook itself, in a start that never asks for lm-eval."""
    code = (
        "import sys; heavy = {'torch', 'lm_eval', 'transformers', 'typing', 're', 'pathlib'};"
        "ours = sorted(m for m in sys.modules if m.startswith('pa_harness'));"
        "print(ours, heavy & set(sys.modules))"
    )
    environment = {"PYTHONPATH": str(ROOT)}
    isolated = subprocess.run(
        [sys.executable, "-S", "-c", f"{HOOK}\n{code}"],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    assert isolated.stdout.strip() == "['pa_harness', 'pa_harness.registration'] set()"


@pytest.mark.parametrize("left", ["nothing", "an empty folder", "a broken module"])
def test_a_half_removed_package_does_not_disturb_a_python_start(left: str, tmp_path: Path) -> None:
    if left != "nothing":
        (tmp_path / "pa_harness").mkdir()
    if left == "a broken module":
        (tmp_path / "pa_harness" / "registration.py").write_text("def install(:\n")
    (tmp_path / "pa_harness.pth").write_text(HOOK)
    code = f"import site; site.addsitedir({str(tmp_path)!r}); print('started')"
    # -I and -S: neither the checkout nor the installed package may stand in for the removed one
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "started\n", "")
    # With -I the environment's variables count for nothing but what the code itself reads.
    environment = {**os.environ, "PA_HARNESS_HOOK": "debug"}
    told = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert (told.returncode, told.stdout) == (0, "started\n")
    assert "Error: " in told.stderr.splitlines()[-1]


def test_steps_aside_when_the_host_registers_the_entry_point_itself() -> None:
    code = (
        "import lm_eval.models as m; from lm_eval.api.registry import model_registry as r;"
        "from pa_harness.registration import HOOKS, install; install();"
        "r.register('partially_adapted', target='somewhere:Else');"
        "HOOKS['lm_eval.models'](m); print(r._objs['partially_adapted'])"
    )
    done = python(code, PA_HARNESS_HOOK="0")
    # install() above is switched off as well, so the host's registration is the only one
    assert "somewhere:Else" in done.stdout, done.stderr


def test_installing_twice_hooks_once() -> None:
    code = (
        "import sys; from pa_harness.registration import install; install(); install();"
        "print(sum(getattr(f, '__name__', '') == '_Finder' for f in sys.meta_path))"
    )
    assert python(code).stdout.strip() == "1"


def test_works_when_lm_eval_was_imported_first() -> None:
    code = (
        "import lm_eval.models, lm_eval.tasks.manager; from pa_harness.registration import install;"
    )
    code += "install(switchable=False); " + KNOWS.format("partially_adapted")
    assert python(code, PA_HARNESS_HOOK="0").stdout.strip() == "PartiallyAdaptedLM"


def test_entry_point_equals_registration_target() -> None:
    installed = distribution("pa-harness").entry_points.select(group="lm_eval.models")
    assert {entry.name: entry.value for entry in installed} == MODELS
    for entry in installed:
        if entry.name == "partially_adapted_vllm" and find_spec("vllm") is None:
            continue  # see test_extras
        loaded = entry.load()
        assert entry.value == f"{loaded.__module__}:{loaded.__name__}"


def test_shipped_tasks_are_found_and_the_users_include_path_stays_free(tmp_path: Path) -> None:
    from lm_eval.tasks import TaskManager

    shipped = tasks_folder() / "sst2"
    own = (shipped / "sst2_cf.yaml").read_text().replace("pa_sst2_cf", "mine")
    own = own.replace("include: ", f"include: {shipped}/")
    (tmp_path / "mine.yaml").write_text(own)
    for include in (str(tmp_path), [str(tmp_path)]):
        manager = TaskManager(include_path=include, include_defaults=False)
        assert {"mine", "pa_sst2_cf"} <= set(manager.all_tasks)
        assert manager.include_path == include
    assert "pa_sst2_cf" in TaskManager(include_defaults=False).all_tasks


def test_results_folder_names_pair_and_lam() -> None:
    args = {"pretrained": "org/base", "instruct": "org/it", "instruct_revision": "v2", "lam": 0.25}
    assert results_name(args) == "org/base__org/it@v2__lam=0.25"
    assert results_name("pretrained=org/base,peft=me/lora,lam=1") == "org/base__me/lora__lam=1"
    assert results_name({"lam": 0.5}) == "default_pair__lam=0.5"


def test_the_tracker_names_its_folder_by_it() -> None:
    code = (
        "from lm_eval.loggers.evaluation_tracker import GeneralConfigTracker as T; t = T();"
        "t.log_experiment_args(model_source='partially_adapted', model_args={'pretrained': 'a/b',"
        "'instruct': 'a/i', 'lam': 0.5}, system_instruction=None, chat_template=None,"
        "fewshot_as_multiturn=False); print(t.model_name_sanitized);"
        "t.log_experiment_args('hf', {'pretrained': 'a/b'}, None, None, False); print(t.model_name)"
    )
    assert python(code).stdout.split() == ["a__b__a__i__lam=0.5", "a/b"]


def test_a_mistake_at_a_prompt_leaves_the_prompt_alive() -> None:
    code = (
        "import sys, lm_eval.models; from pa_harness.errors import PAHarnessError as E;"
        "sys.ps1 = '>>> '; sys.excepthook(E, E('wrong'), None); print('alive');"
        "del sys.ps1; raise E('fatal')"
    )
    done = python(code)
    assert (done.returncode, done.stdout) == (2, "alive\n")
    assert "PAHarnessError: wrong" in done.stderr
    assert "Traceback" not in done.stderr


def test_long_results_names_stay_distinct() -> None:
    names = {results_name({"pretrained": "x" * 300, "instruct": c, "lam": 0}) for c in "ab"}
    assert len(names) == 2
    assert all(len(name) <= 200 for name in names)


def test_the_wheel_carries_hook_and_tasks(tmp_path: Path) -> None:
    """Built as a user's pip would build it; its layout is what makes the first command work."""
    pytest.importorskip("hatchling")
    source = tmp_path / "source"
    shutil.copytree(
        ROOT, source, ignore=shutil.ignore_patterns(".git", ".venv", "runs", ".*_cache")
    )
    build = "from hatchling.build import build_wheel; print(build_wheel('dist'))"
    (source / "dist").mkdir()
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    import zipfile

    (wheel,) = (source / "dist").glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"pa_harness.pth", "pa_harness/task_configs/sst2/sst2_cf.yaml"} <= names
    assert {"pa_harness/models/hf.py", "pa_harness/py.typed"} <= names
    data = zipfile.ZipFile(wheel)
    (about,) = [name for name in names if name.endswith(".dist-info/METADATA")]
    page = data.read(about).decode("utf-8").partition("\n\n")[2]
    links = re.findall(r"\]\(([^)]*)\)", page)
    assert links
    assert all(link.startswith("https://") for link in links), "no folders are there"
