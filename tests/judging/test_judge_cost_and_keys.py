"""What `pa-harness judge` costs, whom it tells the key, and every mistake it tells."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fake_judge import FakeJudge, chat_answer
from judge_data import COUNT, ask, numbers, write_run

from pa_harness.cli.main import main
from pa_harness.judging import reference
from pa_harness.runs.folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = "sk-very-secret-0123456789"


def test_the_price_comes_first_and_nobody_says_yes(
    run: Path, fake: FakeJudge, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["judge", str(run), "--base_url", fake.url, "--judge_model", "fake"]
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    assert main([*command, "--price", "1000,3000"]) == 2
    captured = capsys.readouterr()
    characters = sum(map(len, prompts(run, fake)))
    assert f"To ask: {COUNT * 3} calls, about" in captured.out
    dollars = float(captured.out.split("$")[1].removesuffix(".\n"))
    assert dollars == pytest.approx(characters / 4.8 / 1000 + COUNT * 3 * 3 / 1000, abs=0.05)
    assert "there is no terminal to confirm the price on" in captured.err


def prompts(run: Path, fake: FakeJudge) -> list[str]:
    """All texts that are sent, known by sending them."""
    assert fake.requests == 0
    ask(run, fake, "-o", str(run / "elsewhere"))
    return [m["content"] for body in fake.bodies for m in body["messages"]]


@pytest.mark.parametrize(("reply", "asked"), [("y", COUNT * 3), ("n", 0), ("", 0)])
def test_it_asks_at_a_terminal(
    run: Path, fake: FakeJudge, reply: str, asked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: reply)
    command = ["judge", str(run), "--base_url", fake.url, "--judge_model", "fake"]
    if asked:
        assert main(command) == 0
    else:
        with pytest.raises(SystemExit):
            main(command)
    assert fake.requests == asked


def test_max_cost_stops_before_it_is_passed(run: Path, fake: FakeJudge, capsys: Any) -> None:
    price = ("--price", "10000", "--concurrency", "4")  # a verdict costs dollars
    assert ask(run, fake, *price, "--max_cost", "100") == 3
    printed = capsys.readouterr()
    assert "Stopped: --max_cost 100 is reached" in printed.err
    done = fake.requests
    assert 5 < done < COUNT * 3
    tokens = sum(len(b["messages"][-1]["content"]) // 5 + 1 for b in fake.bodies)
    assert tokens * 10000 / 1e6 <= 100
    parsed = {row.lam: row.n_parsed for row in numbers(run, subset="all")}
    assert sum(parsed.values()) == done
    assert all(row.n_judged == row.n_parsed for row in numbers(run, subset="all"))
    assert ask(run, fake) == 0  # the rest, and only it
    assert fake.requests == COUNT * 3
    assert max(fake.asked.values()) == 1


def test_max_cost_below_the_first_request(run: Path, fake: FakeJudge, capsys: Any) -> None:
    """There is nothing to make a table of."""
    assert ask(run, fake, "--price", "1000", "--max_cost", "0.01") == 2
    text = capsys.readouterr().err
    assert "Nothing was asked: --max_cost 0.01 is reached by the first request already" in text
    assert f"All that is to ask: {COUNT * 3} calls, about" in text
    assert fake.requests == 0
    assert not RunFolder(run).judgements()


def test_keys_appear_nowhere(
    run: Path, capsys: Any, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server gives the key back in errors and answers, as some do."""
    caplog.set_level("DEBUG")

    def script(number: int, prompt: str) -> tuple[int, dict[str, str], Any]:
        if number % 5 == 0:
            return 500, {}, {"error": {"message": f"the key {SECRET} is at its limit"}}
        if number % 5 == 1:
            return 400, {}, {"error": {"message": f"no such thing for {SECRET}"}}
        return 200, {}, chat_answer(prompt, f"model of {SECRET}")

    monkeypatch.setenv("MY_KEY", SECRET)
    monkeypatch.setenv("OPENAI_LOG", "debug")
    with FakeJudge(script) as fake:
        ask(run, fake, "--api_key_env", "MY_KEY", "--attempts", "2")
        sent = [headers["authorization"] for headers in fake.headers]
    assert set(sent) == {f"Bearer {SECRET}"}  # it did go to the server
    captured = capsys.readouterr()
    assert "no such thing for [key]" in captured.err
    everything = captured.out + captured.err + caplog.text
    files = [path for path in run.rglob("*") if path.is_file()]
    assert any(path.suffix == ".sqlite" for path in files)
    assert SECRET not in everything + "".join(path.read_bytes().decode("latin-1") for path in files)


@pytest.mark.parametrize("key", [f"{SECRET}\nmore", f"{SECRET} more", f"{SECRET}é"])
def test_what_cannot_be_a_key_is_not_sent(
    run: Path, fake: FakeJudge, capsys: Any, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    """The client would quote it in the error, in another spelling than its own."""
    monkeypatch.setenv("MY_KEY", key)
    assert ask(run, fake, "--api_key_env", "MY_KEY") == 2
    printed = capsys.readouterr()
    assert "The environment variable MY_KEY holds no key: there is a blank" in printed.err
    assert SECRET not in printed.out + printed.err
    assert fake.requests == 0


def test_openais_key_goes_to_openai_only(
    run: Path, fake: FakeJudge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    ask(run, fake)
    assert not any(SECRET in value for headers in fake.headers for value in headers.values())


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--api_key_env", "NOT_SET"], "The environment variable NOT_SET is not set"),
        (["--max_cost", "3"], "the price of fake is not known"),
        (["--price", "cheap"], "--price cheap: expected dollars per million tokens"),
        (["--reference", "0.7"], "the run has no λ = 0.7; it has λ = 0, 0.5, 1"),
        (["--reference", "no.json"], "expected gpt4, a λ of the run, or an existing JSON file"),
        (["--concurrency", "0"], "--concurrency 0 --attempts 8 --timeout 120: expected numbers"),
        (["--timeout", "nan"], "--attempts 8 --timeout nan: expected numbers above 0"),
        (["--timeout", "inf"], "--attempts 8 --timeout inf: expected numbers above 0"),
        (["--price", "1", "--max_cost", "nan"], "--max_cost nan: expected dollars, 0 or more"),
        (["--price", "1", "--max_cost", "-1"], "--max_cost -1: expected dollars, 0 or more"),
        (["--task", "**/x"], "has no sample logs of **/x"),
        (["--df_gamed", "no.csv"], "--df_gamed no.csv does not exist"),
    ],
)
def test_mistakes(run: Path, fake: FakeJudge, capsys: Any, options: list[str], text: str) -> None:
    assert ask(run, fake, *options) == 2
    assert text in capsys.readouterr().err
    assert fake.requests == 0


def test_openai_needs_its_key(run: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert main(["judge", str(run), "--yes"]) == 2
    captured = capsys.readouterr()
    assert "gpt-4-1106-preview at https://api.openai.com/v1" in captured.out
    assert "The environment variable OPENAI_API_KEY is not set" in captured.err


@pytest.mark.parametrize(
    "damage", ["no logs", "no results", "broken log", "two models", "no folder"]
)
def test_runs_that_cannot_be_judged(run: Path, fake: FakeJudge, capsys: Any, damage: str) -> None:
    act: dict[str, tuple[Callable[[], object], str]] = {
        "no folder": (
            lambda: run.rename(run.with_name("moved")),
            "does not exist. Expected the folder of a run, or a JSON file",
        ),
        "no logs": (
            lambda: [path.unlink() for path in run.rglob("samples_*")],
            "has no sample logs of pa_alpaca_eval",
        ),
        "no results": (
            lambda: next(run.glob("lam=0.5/results_*")).unlink(),
            "stands without its results_2026",
        ),
        "broken log": (
            lambda: next(run.glob("lam=0.5/samples_*")).write_text('{"doc_id": 0}\n'),
            "cannot be read as a sample log of pa_alpaca_eval",
        ),
        "two models": (
            lambda: write_run(run / "other", 3, [0.5]),
            "has more than one model for lam=0.5",
        ),
    }
    do, text = act[damage]
    do()
    assert ask(run, fake) == 2
    assert text in capsys.readouterr().err


def test_the_hub_is_not_asked_about_other_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a network that would take half a minute of attempts."""

    def asked(name: str) -> Path:
        raise AssertionError(name)

    monkeypatch.setattr(reference, "published_file", asked)
    others = [f"instruction {number}" for number in range(805)]
    assert reference._published_order([others, others[::-1]]) is None
