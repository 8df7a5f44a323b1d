"""A judge on 127.0.0.1 that speaks OpenAI's API: a real HTTP server with a script.

It weighs m against M by the lengths of the two outputs, like the simplest of judges, and counts
what it was asked. `script` may make it fail first.
"""

from __future__ import annotations

import json
import math
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    # Given the number of the request and the prompt: None to answer as usual, or (status, headers,
    # body); a body of bytes is sent as it is.
    Script = Callable[[int, str], tuple[int, dict[str, str], Any] | None]


def probability(first: int, second: int) -> float:
    """Of the first output, by its share of the characters."""
    return (1 + first) / (2 + first + second)


def outputs_of(prompt: str) -> tuple[str, str]:
    """The two outputs in a prompt of weighted_alpaca_eval_gpt4_turbo, as they are shown."""
    parts = prompt.split('"output": """')
    return parts[1].split('"""\n    }')[0], parts[2].split('"""\n    }')[0]


def chat_answer(prompt: str, model: str, text: str = "m") -> dict[str, Any]:
    """An answer of the API with logprobs of m and M."""
    p = probability(*map(len, outputs_of(prompt))) if '"output": """' in prompt else 0.5
    top = [{"token": "m", "logprob": math.log(p)}, {"token": "M", "logprob": math.log(1 - p)}]
    choice = {
        "index": 0,
        "finish_reason": "length",
        "message": {"role": "assistant", "content": text},
        "logprobs": {"content": [{"token": text, "logprob": 0.0, "top_logprobs": top}]},
    }
    usage = {"prompt_tokens": len(prompt) // 5, "completion_tokens": 1}
    return {"id": "x", "object": "chat.completion", "model": model, "choices": [choice]} | {
        "usage": usage
    }


class FakeJudge:
    """The server; a context manager."""

    def __init__(self, script: Script | None = None) -> None:
        self.asked: Counter[str] = Counter()  # by prompt: requests
        self.answered: Counter[str] = Counter()  # by prompt: answers with status 200
        self.headers: list[dict[str, str]] = []
        self.bodies: list[dict[str, Any]] = []
        self.most = 0  # requests at the same time
        self._now, self._lock = 0, threading.Lock()
        self._script = script
        judge = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                judge.handle(self)

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> FakeJudge:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def requests(self) -> int:
        return sum(self.asked.values())

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        """One request."""
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        prompt = body["messages"][-1]["content"] if "messages" in body else body["prompt"]
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
            number = self.requests
            self.asked[prompt] += 1
            self.headers.append({k.lower(): v for k, v in handler.headers.items()})
            self.bodies.append(body)
        try:
            scripted = self._script(number, prompt) if self._script else None
            status, headers, answer = scripted or (200, {}, chat_answer(prompt, body["model"]))
            raw = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        finally:
            with self._lock:
                self._now -= 1
        try:
            handler.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                handler.send_header(name, value)
            handler.send_header("Content-Length", str(len(raw)))
            handler.end_headers()
            handler.wfile.write(raw)
        except OSError:  # the client has gone
            return
        if status == 200:
            with self._lock:
                self.answered[prompt] += 1


if __name__ == "__main__":  # in a process of its own, until it is ended
    with FakeJudge() as judge:
        print(judge.url, flush=True)
        threading.Event().wait()
