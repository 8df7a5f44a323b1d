"""Sound files made hostile: a value in them, or their text, as no honest program writes it."""

from __future__ import annotations

import copy
import json
from typing import Any

import yaml
from hypothesis import strategies as st

_TEXTS = [
    *("", " ", "..", "../../victim", "/etc/passwd", "~/.ssh/id_rsa", "file:///etc/passwd", "\0"),
    *(
        "x" * 5000,
        "\x1b[31mred\x1b]0;title\x07",
        "\u202e",
        "=cmd|'/c calc'!A1",
        "<script>x</script>",
    ),
    *(
        "a\n---\n# owned",
        "{{ cycler.__init__.__globals__.os.popen('touch ran').read() }}",
        "${HOME}",
    ),
    *(
        "[1, 2]",
        "True",
        "none",
        "0",
        "-1",
        "1e999",
        "%s%n",
        "\\",
        "'",
        '"',
        "a|b",
        "`",
        "*",
        "🤯" * 99,
    ),
]
VALUES: list[Any] = [
    *_TEXTS,
    *(None, True, False, 0, -1, 1e308, -1e308, 10**30, float("nan"), float("inf"), 0.1),
    *(
        [],
        {},
        [[]],
        {"a": {"b": [None]}},
        ["x"] * 5000,
        [0] * 5000,
        {str(n): n for n in range(999)},
    ),
    {"../../x": "/etc/passwd", "": 0, "\x1b[2J": []},
]
_SIGNS = [
    "1e999",
    "9" * 5000,
    "[" * 100_000,
    '{"a":' * 50_000,
    r'"\ud800"',
    '"' + "y" * 10**6 + '"',
]


def _places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [at] if at else []
    if isinstance(value, (dict, list)):
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            found += _places(each, (*at, key))
    return found


@st.composite
def spoiled(draw: st.DrawFn, sound: Any) -> Any:
    """The value with one to three places of it replaced, removed or repeated."""
    value = copy.deepcopy(sound)
    for _ in range(draw(st.integers(1, 3))):
        places = _places(value)
        if not places:
            return draw(st.sampled_from(VALUES))
        *above, last = draw(st.sampled_from(places))
        inner = value
        for key in above:
            inner = inner[key]
        how = draw(st.sampled_from(["replace", "replace", "remove", "rename"]))
        if how == "replace":
            inner[last] = copy.deepcopy(draw(st.sampled_from(VALUES)))
        elif how == "rename" and isinstance(inner, dict):
            inner[draw(st.sampled_from(_TEXTS))] = inner.pop(last)
        else:
            del inner[last]
    return value


@st.composite
def as_text(draw: st.DrawFn, sound: Any, form: str = "json") -> bytes:
    """The value spoiled and written as JSON, JSON lines or YAML, then maybe cut or patched."""
    value = draw(spoiled(sound))
    if form == "yaml":
        text = yaml.safe_dump(value, sort_keys=False)
    elif form == "jsonl":
        rows = value if isinstance(value, list) else [value]
        text = "\n".join(json.dumps(row) for row in rows)
    else:
        text = json.dumps(value)
    return draw(patched(text))


@st.composite
def patched(draw: st.DrawFn, text: str) -> bytes:
    """The text as it is, cut off, with something in it, or in other bytes."""
    how = draw(st.sampled_from(["whole", "whole", "whole", "cut", "put", "bytes"]))
    at = draw(st.integers(0, len(text)))
    if how == "cut":
        text = text[:at]
    elif how == "put":
        text = text[:at] + draw(st.sampled_from(_SIGNS)) + text[at:]
    elif how == "bytes":
        coding = draw(st.sampled_from(["utf-16", "latin-1", "utf-8-sig"]))
        return text.encode(coding, "replace") + draw(st.binary(max_size=4))
    return text.encode("utf-8", "surrogatepass")
