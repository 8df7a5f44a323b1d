"""λ inside a running vLLM engine: what every one of its worker processes does at a change.

vLLM adds `LamWorker` to its worker class (``worker_extension_cls``); numbers and texts only cross
to the workers. Each opens the pair by itself and hands lazy tensors to vLLM's own weight loading,
which knows fused projections, shards and experts, and reads of them what its process holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoModelForCausalLM

from pa_harness.models.vllm.lazy_tensor import LazyTensor, Origin
from pa_harness.weights.architecture import concrete_class
from pa_harness.weights.arguments import ModelArgs, torch_dtype
from pa_harness.weights.methods import Method
from pa_harness.weights.opening import attach_adapter, open_pair

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pa_harness.checkpoints.pair import Pair

EXTENSION = f"{__name__}.LamWorker"


class LamWorker:
    """Methods that vLLM's worker gets; `collective_rpc` calls them by name in every process."""

    vllm_config: Any
    device: torch.device
    model_runner: Any
    reload_weights: Callable[..., None]
    pa_pair: Pair
    pa_method: Method

    def pa_open(self, arguments: dict[str, Any], trust_remote_code: bool) -> None:
        """Open the pair of `ModelArgs(**arguments)`, as the process that asks has done."""
        args = ModelArgs(**arguments)
        self.pa_method = Method(args.setting)
        self.pa_pair = open_pair(args, trust_remote_code=trust_remote_code)
        if self.pa_pair.instruct.role == "peft":
            attach_adapter(self.pa_pair, concrete_class(AutoModelForCausalLM, self.pa_pair))

    def pa_set_lam(
        self, lams: dict[str, float], dtype: str, seed: int | None
    ) -> dict[str, list[str]]:
        """Stream θ_λ into the engine's parameters.

        Args:
            lams: λ by checkpoint key.
            dtype: of θ_λ.
            seed: of stochastic rounding, or None.

        Returns:
            `read`: checkpoint keys of which this process took something; `missing`: parameters
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
                self.reload_weights(weights_iterator=self._tensors(lams, dtype, seed, read.add))
                self._repack_tied(model)
        finally:
            del model.load_weights
        return {"read": sorted(read), "missing": sorted(parameters - loaded)}

    def _tensors(
        self, lams: dict[str, float], dtype: str, seed: int | None, on_read: Callable[[str], None]
    ) -> Iterator[tuple[str, torch.Tensor]]:
        pair = self.pa_pair
        kind = torch_dtype(dtype) or pair.dtype
        for key, base in pair.base_slices.items():
            if not base.dtype.is_floating_point:  # equal on both sides
                on_read(key)
                yield key, base[...]
                continue
            lam = lams[key]
            ends = base, self.pa_method.end(key, base, pair.instruct_slices[key], lam)
            yield key, LazyTensor(Origin(key, ends, lam, kind, seed, on_read))

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
