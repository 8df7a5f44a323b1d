"""Steps that come again are captured: one launch in the place of hundreds (CUDA graphs)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

_log = logging.getLogger(f"lm_eval.{__name__}")  # so that lm-eval's settings apply
_BEFORE = 2  # times that a step is computed before it is captured


class Graphs:
    """Runs functions that read and write memory that stays where it is.

    Where there is no CUDA device, or the model does what cannot be captured (a mixture of experts
    that asks the device how many tokens go where), they are computed as they come.
    """

    def __init__(self, device: torch.device) -> None:
        self._possible = device.type == "cuda"
        self._graphs: dict[Hashable, torch.cuda.CUDAGraph] = {}
        self._times: dict[Hashable, int] = {}

    def run(self, name: Hashable, function: Callable[[], None]) -> None:
        """Run a function; the same name must mean the same shapes and the same memory."""
        if not self._possible:
            function()
        elif name in self._graphs:
            self._graphs[name].replay()
        elif self._times.get(name, 0) < _BEFORE:
            self._times[name] = self._times.get(name, 0) + 1
            function()
        else:
            self._capture(name, function)

    def forget(self) -> None:
        """The memory that was captured is not the same any more."""
        self._graphs, self._times = {}, {}

    def _capture(self, name: Hashable, function: Callable[[], None]) -> None:
        graph = torch.cuda.CUDAGraph()
        pool = next((each.pool() for each in self._graphs.values()), None)
        torch.cuda.synchronize()
        try:
            with torch.cuda.graph(graph, pool=pool):
                function()
        except RuntimeError as error:
            _log.info("Steps are not captured: %s", str(error).splitlines()[0])
            self._possible = False
            function()
            return
        self._graphs[name] = graph
        graph.replay()
