"""λ inside a running vLLM engine: what every one of its worker processes does at a change.

vLLM adds `LamWorker` to its worker class (``worker_extension_cls``); numbers and texts only cross
to the workers. Each opens the pair by itself and hands lazy tensors to vLLM's own weight loading,
which knows fused projections, shards and experts, and reads of them what its process holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from pa_harness.lam.path import place
from pa_harness.models.vllm.lazy_tensor import LazyTensor, Origin
from pa_harness.models.vllm.weights import as_in_files
from pa_harness.weights.adapted import AdaptedWeights
from pa_harness.weights.arguments import ModelArgs
from pa_harness.weights.opening import adapted_weights

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EXTENSION = f"{__name__}.LamWorker"


class LamWorker:
    """Methods that vLLM's worker gets; `collective_rpc` calls them by name in every process."""

    vllm_config: Any
    device: torch.device
    model_runner: Any
    reload_weights: Callable[..., None]
    pa_weights: AdaptedWeights

    def pa_open(self, arguments: dict[str, Any], dtype: str, trust_remote_code: bool) -> None:
        """Open the pair of `ModelArgs(**arguments)`, as the process that asks has done."""
        self.pa_weights = adapted_weights(
            ModelArgs(**arguments), dtype, AdaptedWeights, trust_remote_code=trust_remote_code
        )

    def pa_set_lam(self, lams: dict[str, float]) -> dict[str, list[str]]:
        """Stream θ_λ into the engine's parameters.

        Args:
            lams: λ by parameter.

        Returns:
            `read`: parameters of which this process took something; `missing`: parameters
            that got nothing.
        """
        model = self.model_runner.get_model()
        parameters = {name for name, _ in model.named_parameters()}
        read: set[str] = set()
        loaded: set[str] = set()
        load = model.load_weights

        def recorded(weights: Any) -> Any:
            found = load(weights)
            loaded.update(parameters if found is None else found)
            return found

        model.load_weights = recorded  # vLLM itself only warns of parameters that got nothing
        try:
            with torch.inference_mode():
                self._unpack_experts(model)
                self.reload_weights(weights_iterator=self._tensors(lams, read.add))
                self._repack_tied(model)
        finally:
            del model.load_weights
        return {"read": sorted(read), "missing": sorted(parameters - loaded)}

    def _tensors(
        self, lams: dict[str, float], on_read: Callable[[str], None]
    ) -> Iterator[tuple[str, torch.Tensor]]:
        weights = self.pa_weights
        for each in as_in_files(weights.pair):
            name, lam = each.parameter, lams[each.parameter]
            read = _named(on_read, name)
            if not weights.pair.base_slices[name].dtype.is_floating_point:  # equal on both sides
                on_read(name)
                yield each.key, weights.integers(name)
                continue
            if each.knots is None:
                base, end, there = weights.path(name, lam)
            else:
                leg, there = place(lam, weights.pair.legs)
                base, second = each.knots[leg : leg + 2]
                end = weights.end(each.key, base, second, lam)
            key = name if each.knots is None else each.key
            origin = Origin(key, (base, end), there, weights.dtype, weights.seed, read)
            yield each.key, LazyTensor(origin)

    def _unpack_experts(self, model: Any) -> None:
        """Let experts be packed again.

        On the CPU vLLM packs (and pads) them while it makes their kernel, and makes no second one:
        a reload would put plain weights where packed ones are read (vLLM 0.32,
        ``unquantized_fused_moe_method.py``, `_setup_kernel`).
        """
        if self.device.type != "cpu":
            return
        for module in model.modules():
            method: Any = getattr(module, "quant_method", None)
            if getattr(method, "moe_kernel", None) is not None:
                method.moe_kernel = None

    def _repack_tied(self, model: Any) -> None:
        """Let a tied output layer see the new embedding.

        On the CPU vLLM multiplies by a packed copy of the weight, which its reload makes anew for
        the embedding alone (vLLM 0.32, ``reload/layerwise.py``, Limitations (2)).
        """
        if self.device.type != "cpu":
            return
        from vllm.config import set_current_vllm_config

        owners: dict[int, Any] = {}
        for module in model.modules():
            weight = module._parameters.get("weight")  # noqa: SLF001 -- without making one
            if weight is None or not weight.numel():
                continue
            first = owners.setdefault(id(weight), module)
            if first is not module and hasattr(module, "quant_method"):
                with set_current_vllm_config(self.vllm_config):
                    for each in (first, module):
                        each.quant_method.process_weights_after_loading(each)


def _named(on_read: Callable[[str], None], name: str) -> Callable[[str], None]:
    """`on_read` of a parameter, for any part of it."""
    return lambda _: on_read(name)
