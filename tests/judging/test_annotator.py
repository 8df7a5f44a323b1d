"""Judges' configurations: what is taken, and every refusal."""

from __future__ import annotations

from pathlib import Path

import pytest

from pa_harness.errors import JudgeError
from pa_harness.judging.annotator import OFFICIAL, OPENAI_URL, find_annotator
from pa_harness.judging.asking.price import Price, estimate, find_price
from pa_harness.judging.asking.request import Request

BODY = "  completions_kwargs: {model_name: mine, max_tokens: 5}\n"


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    """A folder as alpaca-eval's, with the leaderboard's judge in it."""
    folder = tmp_path / "evaluators_configs"
    (folder / OFFICIAL).mkdir(parents=True)
    (folder / OFFICIAL / "prompt.txt").write_text("{instruction} {output_1} {output_2}")
    (folder / OFFICIAL / "configs.yaml").write_text(
        f"{OFFICIAL}:\n  prompt_template: {OFFICIAL}/prompt.txt\n"
        "  completions_kwargs: {model_name: gpt-4-1106-preview, max_tokens: 1, num_procs: 9}\n"
    )
    return folder


def own(folder: Path, body: str, template: str = '"{instruction} {output_1} {output_2}"') -> str:
    file = folder / "own.yaml"
    file.write_text(f"own:\n  prompt_template: {template}\n{body}")
    return str(file)


def test_the_official_judge_is_that_only_at_its_own_address(shipped: Path) -> None:
    found = find_annotator(OFFICIAL, shipped)
    assert found.official
    assert (found.base_url, found.model) == (OPENAI_URL, "gpt-4-1106-preview")
    kwargs = found.configs[OFFICIAL]["completions_kwargs"]
    assert kwargs == {
        "model_name": "gpt-4-1106-preview",
        "max_tokens": 1,
        "temperature": 0.7,
        "top_p": 1.0,
    }
    elsewhere = find_annotator(OFFICIAL, shipped, "http://localhost:1/v1/", "gpt-4-1106-preview")
    assert elsewhere.base_url == "http://localhost:1/v1"
    assert not elsewhere.official
    assert not find_annotator(OFFICIAL, shipped, model="gpt-4").official


def test_a_file_of_ones_own(shipped: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("Which? {instruction} {output_1} {output_2}")
    inline = find_annotator(own(tmp_path, BODY), shipped)
    beside = find_annotator(own(tmp_path, BODY, "mine.txt"), shipped)
    among = find_annotator(own(tmp_path, BODY, f"{OFFICIAL}/prompt.txt"), shipped)
    assert (inline.name, inline.model, inline.official) == ("own", "mine", False)
    assert beside.configs["own"]["prompt_template"].startswith("Which?")
    assert inline.template_digest == among.template_digest != beside.template_digest
    priced = BODY.replace(
        "5}", "5, price_per_token: 9e-7, client_kwargs: {base_url: 'http://a/v1'}}"
    )
    found = find_annotator(own(tmp_path, priced), shipped)
    assert found.base_url == "http://a/v1"
    price = find_price(found.model, found.price_per_token, None, at_openai=False)
    assert price.prompt == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (
            "  fn_completions: anthropic_completions\n" + BODY,
            r"own asks through anthropic_completions; only OpenAI-compatible servers",
        ),
        (
            BODY.replace("5}", "5, openai_api_keys: [sk-verysecret]}"),
            r"own sets openai_api_keys, where keys are kept",
        ),
        (
            BODY.replace("5}", "5, extra_headers: {Authorization: sk-verysecret}}"),
            r"own sets extra_headers, where keys are kept",
        ),
        (
            BODY.replace("5}", "5, client_kwargs: {api_key: sk-verysecret}}"),
            r"own sets more than base_url in client_kwargs",
        ),
        (BODY.replace("5}", "5, tokens_to_avoid: [a]}"), "needs the judge's tokenizer"),
        ("  completions_kwargs: {max_tokens: 5}\n", "own names no model: give --judge_model"),
    ],
)
def test_refusals(shipped: Path, tmp_path: Path, body: str, text: str) -> None:
    with pytest.raises(JudgeError, match=text) as caught:
        find_annotator(own(tmp_path, body), shipped)
    assert "verysecret" not in str(caught.value)


def test_files_that_are_none(shipped: Path, tmp_path: Path) -> None:
    with pytest.raises(JudgeError, match=rf"no such file or configuration.*\s+{OFFICIAL}"):
        find_annotator("nobody", shipped)
    with pytest.raises(JudgeError, match=r"own.yaml cannot be read"):
        find_annotator(own(tmp_path, "{"), shipped)
    (tmp_path / "list.yaml").write_text("[1, 2]")
    with pytest.raises(JudgeError, match="expected alpaca-eval's form"):
        find_annotator(str(tmp_path / "list.yaml"), shipped)
    with pytest.raises(JudgeError, match=r"The prompt template gone.txt .* is neither beside it"):
        find_annotator(own(tmp_path, BODY, "gone.txt"), shipped)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("localhost:8000/v1", "localhost:8000/v1: expected the address of an OpenAI-compatible"),
        ("127.0.0.1:8000/v1", "127.0.0.1:8000/v1: expected the address of an OpenAI-compatible"),
        ("http://host:99999/v1", "http://host:99999/v1: expected the address"),
        ("http://[::1/v1", "expected the address of an OpenAI-compatible server"),
        ("ftp://me:verysecret@host/v1", "expected the address of an OpenAI-compatible server"),
        ("http://host/v1?key=verysecret", "expected the address of an OpenAI-compatible server"),
        ("http://me:verysecret@host/v1", "holds a name or password for host"),
    ],
)
def test_addresses(shipped: Path, url: str, text: str) -> None:
    with pytest.raises(JudgeError, match=text) as caught:
        find_annotator(OFFICIAL, shipped, url, "model")
    assert "verysecret" not in str(caught.value)


def test_another_server_needs_a_model(shipped: Path) -> None:
    """Else a local server that ignores the name would pass for gpt-4-1106-preview."""
    with pytest.raises(JudgeError, match="say which model judges there, by --judge_model"):
        find_annotator(OFFICIAL, shipped, "http://localhost:8000/v1")


def test_prices(shipped: Path) -> None:
    official = find_annotator(OFFICIAL, shipped)
    assert official.price_per_token is None
    assert find_price(official.model, None, None, at_openai=True) == Price(10.0, 30.0)
    assert find_price(official.model, None, None, at_openai=False) == Price(None, None)
    assert find_price(official.model, None, "0.15,0.6", at_openai=True) == Price(0.15, 0.6)
    assert find_price(official.model, None, "0", at_openai=False) == Price(0.0, 0.0)
    request = Request("text", {"prompt": "x" * 4800, "max_tokens": 7}, "a", ("i",))
    found = estimate([request, request], Price(10.0, 30.0))
    assert (found.calls, found.prompt_tokens, found.completion_tokens) == (2, 2000, 14)
    assert found.dollars == pytest.approx(2000 * 10e-6 + 14 * 30e-6)
    assert "price not known (--price)" in str(estimate([request], Price(None, None)))


def test_a_key_is_of_everything_the_verdict_depends_on() -> None:
    body = {"model": "a", "messages": [{"role": "user", "content": "m: x M: y"}], "temperature": 1}
    one = Request("chat", body, "judge", ("i",)).key("http://a/v1")
    others = [
        Request("chat", {**body, "model": "b"}, "judge", ("i",)).key("http://a/v1"),
        Request("chat", {**body, "temperature": 0}, "judge", ("i",)).key("http://a/v1"),
        Request(
            "chat", {**body, "messages": [{"role": "user", "content": "m: y M: x"}]}, "j", ("i",)
        ).key("http://a/v1"),
        Request("chat", body, "judge", ("i",)).key("http://b/v1"),
        Request("text", body, "judge", ("i",)).key("http://a/v1"),
    ]
    assert len({one, *others}) == 6
    assert Request("chat", dict(reversed(body.items())), "judge", ("i",)).key("http://a/v1") == one
