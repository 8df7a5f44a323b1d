"""Put θ_λ into a transformers model: while it is loaded, and again, in place, when λ changes.

Loading hands transformers' own loader a `state_dict` of lazy tensors; what it reads is already
interpolated. Key conversion, fused experts, device maps and tied weights stay its business, and
one tensor at a time is in memory beside the model.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch

from pa_harness.checkpoints.slices import Slice, TensorSlice
from pa_harness.errors import ModelArgsError, PAHarnessError, PairError, listed
from pa_harness.weights.adapted import AdaptedWeights
from pa_harness.weights.architecture import (
    left_out,
    make_shell,
    parameter_sources,
    stored_tensors,
)
from pa_harness.weights.interpolation import interpolate_

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transformers import PreTrainedModel

    from pa_harness.checkpoints.pair import Pair
    from pa_harness.lam.schedule import Lam
    from pa_harness.weights.architecture import Sources


class LoadedWeights(AdaptedWeights):
    """θ_λ in a transformers model, one at a time."""

    _sources: Sources | None = None  # what the model's parameters are made of
    _in_memory: Mapping[str, tuple[TensorSlice, TensorSlice]] = MappingProxyType({})

    def ends(self, key: str) -> tuple[Slice, Slice]:
        """θ_base and θ_instruct of one checkpoint key, from where they are kept."""
        return self._in_memory.get(key) or super().ends(key)

    def load(
        self, cls: type[PreTrainedModel], lam: Lam, **kwargs: Any
    ) -> tuple[PreTrainedModel, list[str]]:
        """A new model holding θ_λ, and what to warn of.

        Memory: the model plus one tensor; the checkpoints stay in the page cache.

        Args:
            cls: the concrete model class (an Auto class cannot take a state_dict).
            lam: λ, or a schedule of it.
            kwargs: for `from_pretrained` (device_map, attn_implementation, ...).

        Raises:
            CheckpointError: NaN or Inf in a checkpoint.
            PairError: tensors that the architecture needs are missing, or have another shape.
        """
        lams = self.per_tensor(lam)
        lazy = {key: _Lazy(self, key, lams[key]) for key in lams}
        if _may_offload(kwargs.get("device_map")):
            shell = make_shell(cls, self.pair.config, self.pair.base)
            for name, key in _tied_copies(shell, self.pair.base_slices).items():
                lazy[name] = _Lazy(self, key, lams[key])
        settings = {"config": self.pair.config, "dtype": self.dtype, "output_loading_info": True}
        options: dict[str, Any] = {**settings, "state_dict": lazy, **kwargs}
        try:
            loaded: Any = cls.from_pretrained(None, **options)
        except PAHarnessError:
            raise
        except Exception as error:
            _check_fit(self.pair, cls, kwargs, error)
            raise
        model: PreTrainedModel = loaded[0]
        self.findings.check_read()
        notes = left_out(self.pair.config, self.pair.base_slices, loaded[1])
        # Modules that transformers keeps in fp32 got values rounded to `dtype`; round them once.
        wider = [n for n, p in stored_tensors(model) if p.dtype != self.dtype and not p.is_meta]
        if wider:
            self._set_direct(model, lams, only=set(wider))
        self.findings.check_written(self.dtype)
        self.lam = lam
        return model, notes

    def set_lam_(self, model: PreTrainedModel, lam: Lam) -> None:
        """Change the model's weights to θ_λ in place, from the originals: no drift.

        Raises:
            PAHarnessError: some weights are off-loaded and cannot be changed in place, or λ takes
                some out of the dtype's range; the model then holds no λ until the next change.
        """
        offloaded = [name for name, p in model.named_parameters() if p.is_meta]
        if offloaded:
            raise PAHarnessError(
                f"λ cannot change in place: {len(offloaded)} weights are off-loaded:\n"
                f"{listed(offloaded)}\nMake a new model with the other lam=."
            )
        lams = self.per_tensor(lam)
        self.lam = None  # until done: an interrupted change leaves no λ that could be reported
        self._set_direct(model, lams)
        _, groups = self._sources_of(model)
        for keys in groups:  # parameters that transformers assembles (fused experts)
            _convert_(model, {key: _Lazy(self, key, lams[key]) for key in keys}, self.dtype)
        self.findings.check_written(self.dtype)
        self.lam = lam

    def keep_in_memory(self, model: PreTrainedModel) -> None:
        """Hold both originals beside the parameters, on their devices: three models of memory."""
        direct, groups = self._sources_of(model)
        devices = {direct[n]: p.device for n, p in stored_tensors(model) if n in direct}
        devices |= {key: torch.device("cpu") for keys in groups for key in keys}
        kept = {}
        for key, device in devices.items():
            base, instruct = (TensorSlice(end[...].to(device, copy=True)) for end in self.ends(key))
            kept[key] = base, instruct
        self._in_memory = kept

    @property
    def in_memory(self) -> bool:
        """Whether both originals are held beside the parameters."""
        return bool(self._in_memory)

    def _sources_of(self, model: PreTrainedModel) -> Sources:
        """`parameter_sources`, once: matching every key costs as much as a tenth of a change."""
        if self._sources is None:
            self._sources = parameter_sources(model, self.pair.base_slices)
        return self._sources

    @torch.no_grad()
    def _set_direct(
        self, model: PreTrainedModel, lams: Mapping[str, float], only: set[str] | None = None
    ) -> None:
        """Write the parameters that are one checkpoint tensor each."""
        direct, _ = self._sources_of(model)
        for name, parameter in stored_tensors(model):
            if name not in direct or (only is not None and name not in only):
                continue
            key = direct[name]
            device = _device(self.ends(key)[0])
            if parameter.device == device and parameter.is_contiguous():
                self.write_(parameter.data, key, lams[key])
            else:
                scratch = torch.empty_like(parameter, device=device)
                self.write_(scratch, key, lams[key])
                parameter.copy_(scratch)


class _Lazy:
    """What transformers' loader takes for a safetensors slice; reading it gives θ_λ."""

    def __init__(self, weights: LoadedWeights, key: str, lam: float) -> None:
        self._weights, self._key, self._lam = weights, key, lam

    def get_shape(self) -> list[int]:
        return self._weights.ends(self._key)[0].get_shape()

    def get_dtype(self) -> str:
        return str(self._weights.dtype)

    @torch.no_grad()
    def __getitem__(self, index: Any) -> torch.Tensor:
        weights, key, lam = self._weights, self._key, self._lam
        if index is ...:
            return weights.tensor(key, lam, weights.dtype)
        weights.findings.examine(key, lam, None)
        if not weights.ends(key)[0].dtype.is_floating_point:
            return weights.integers(key)[index].clone()
        # A shard of a tensor-parallel model.
        if weights.seed is not None:
            raise PAHarnessError("rounding=stochastic is not defined for tp_plan=. Drop one.")
        base, end = (TensorSlice(side[index]) for side in weights.path(key, lam))
        shard = torch.empty(base.get_shape(), dtype=weights.dtype)
        interpolate_(shard, base, end, lam)
        return shard


def fits_beside(model: PreTrainedModel) -> bool:
    """Whether both originals fit into an accelerator's memory beside a model.

    Three models may take three quarters of every accelerator that holds a part of it; the rest is
    for computing. On the CPU the files are in memory already.
    """
    taken: dict[torch.device, int] = {}
    for parameter in model.parameters():
        taken[parameter.device] = taken.get(parameter.device, 0) + parameter.nbytes
    return all(device.type == "cuda" for device in taken) and all(
        4 * size <= torch.cuda.get_device_properties(device).total_memory
        for device, size in taken.items()
    )


def _may_offload(device_map: Any) -> bool:
    """Whether the map may put weights on more than one device, the disk among them."""
    if isinstance(device_map, dict):
        return len(set(map(str, device_map.values()))) > 1 or "disk" in device_map.values()
    return isinstance(device_map, str)


def _device(source: Slice) -> torch.device:
    return source.tensor.device if isinstance(source, TensorSlice) else torch.device("cpu")


def _check_fit(
    pair: Pair, cls: type[PreTrainedModel], arguments: Mapping[str, Any], error: Exception
) -> None:
    """Say why transformers' loader failed, where the pair or a model argument is the reason.

    Only then: a shell and its names cost a tenth of a load.

    Args:
        pair: the pair that did not load.
        cls: the model class.
        arguments: what `from_pretrained` was given.
        error: what it raised.

    Raises:
        CheckpointError: config.json makes no model.
        PairError: tensors of another shape than config.json asks for.
        ModelArgsError: an argument that this installation or architecture does not support.
    """
    own = ("attn_implementation", "experts_implementation", "use_kernels")
    shell = make_shell(cls, pair.config, pair.base)
    direct, _ = parameter_sources(shell, pair.base_slices)
    shapes = {
        direct[name]: list(parameter.shape)
        for name, parameter in shell.named_parameters()
        if name in direct
    }
    wrong = [
        f"{key}: checkpoints {pair.base_slices[key].get_shape()}, config.json {shape}"
        for key, shape in sorted(shapes.items())
        if pair.base_slices[key].get_shape() != shape
    ]
    if wrong:
        raise PairError(
            f"The checkpoints do not fit {type(pair.config).__name__}:\n{listed(wrong)}\n"
            "Check config.json, and that the weights are complete."
        )
    given = [f"{name}={arguments[name]!r}" for name in own if arguments.get(name)]
    if given and isinstance(error, (ImportError, ValueError)):
        raise ModelArgsError(f"{', '.join(given)} cannot be used: {error}\nLeave it out.")


def _tied_copies(shell: PreTrainedModel, keys: Mapping[str, Any]) -> dict[str, str]:
    """Tied parameters that the checkpoint does not spell out -> the key they are equal to.

    A loader that off-loads weights reads every name by itself, tied or not.
    """
    direct, _ = parameter_sources(shell, keys)
    tied: dict[str, str] = getattr(shell, "all_tied_weights_keys", {})
    return {
        name: direct[source]
        for name, source in tied.items()
        if source in direct and name not in keys
    }


@torch.no_grad()
def _convert_(model: PreTrainedModel, tensors: Mapping[str, Any], dtype: torch.dtype) -> None:
    """Let transformers convert checkpoint tensors and write the results into the live model.

    Its loader replaces parameters; their values are copied into the old ones, so that hooks,
    compiled graphs and tied references stay.

    Args:
        model: a loaded model.
        tensors: checkpoint key -> slice, one group of `parameter_sources`.
        dtype: the dtype to convert in.
    """
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import convert_and_load_state_dict_in_model
    from transformers.modeling_utils import LoadStateDictConfig
    from transformers.utils import logging as untyped

    config = LoadStateDictConfig(
        dtype=dtype,
        # transformers annotates a narrower list than its own function returns
        weight_mapping=get_model_conversion_mapping(model),  # type: ignore[arg-type]
    )
    before = dict(model.named_parameters())
    logging: Any = untyped
    shows_bars = logging.is_progress_bar_enabled()  # one per parameter
    logging.disable_progress_bar()
    try:
        convert_and_load_state_dict_in_model(model, dict(tensors), config)
    finally:
        if shows_bars:
            logging.enable_progress_bar()
    for name, parameter in list(model.named_parameters()):
        if parameter is not before[name]:
            before[name].copy_(parameter)
            module, _, attribute = name.rpartition(".")
            setattr(model.get_submodule(module), attribute, before[name])
