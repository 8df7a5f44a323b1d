"""Put θ_λ into a transformers model: while it is loaded, and again, in place, when λ changes.

Loading hands transformers' own loader a `state_dict` of lazy tensors under the parameters' names;
what it reads is already interpolated. Device maps and tied weights stay its business, and one
tensor at a time is in memory beside the model.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch

from pa_harness.checkpoints.parameters import today
from pa_harness.checkpoints.slices import Slice, TensorSlice
from pa_harness.errors import ModelArgsError, PAHarnessError, listed
from pa_harness.weights.adapted import AdaptedWeights
from pa_harness.weights.interpolation import interpolate_

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from transformers import PreTrainedModel

    from pa_harness.lam.schedule import Lam


class LoadedWeights(AdaptedWeights):
    """θ_λ in a transformers model, one at a time."""

    _in_memory: Mapping[str, tuple[TensorSlice, ...]] = MappingProxyType({})

    def knots(self, key: str) -> tuple[Slice, ...]:
        """One parameter of every checkpoint, from where they are kept."""
        return self._in_memory.get(key) or super().knots(key)

    def load(self, lam: Lam, **kwargs: Any) -> PreTrainedModel:
        """A new model holding θ_λ.

        Memory: the model plus one tensor; the checkpoints stay in the page cache.

        Args:
            lam: λ, or a schedule of it.
            kwargs: for `from_pretrained` (device_map, attn_implementation, ...).

        Raises:
            CheckpointError: NaN or Inf in a checkpoint.
            PAHarnessError: values out of the range of the dtype.
        """
        architecture, lams = self.pair.model, self.per_tensor(lam)
        names = today(lams, architecture)  # as the loader would understand ours
        lazy = {n: _Lazy(self, n, lams[n]) for n in lams if names[n] == (n, False)}
        if _may_offload(kwargs.get("device_map")):  # it reads every name by itself, tied or not
            tied = architecture.aliases.items()
            lazy |= {alias: lazy[name] for alias, name in tied if name in lazy}
        settings = {"config": self.pair.config, "dtype": self.dtype, "output_loading_info": True}
        options: dict[str, Any] = {**settings, "state_dict": lazy, **kwargs}
        try:
            loaded: Any = architecture.cls.from_pretrained(None, **options)
        except PAHarnessError:
            raise
        except (ImportError, ValueError) as error:
            _check_arguments(kwargs, error)
            raise
        model: PreTrainedModel = loaded[0]
        _account(model, loaded[1], lams)
        self._write_again(model, lams, {name for name in lams if name not in lazy})
        self.findings.check_read()
        self.findings.check_written(self.dtype)
        self.lam = lam
        return model

    def _write_again(
        self, model: PreTrainedModel, lams: Mapping[str, float], absent: set[str]
    ) -> None:
        """Write what the loader could not be given, or did not leave as it was given.

        Args:
            model: just loaded.
            lams: λ by name.
            absent: names that the loader was not given (it would take them for those of a file).
        """
        state, architecture = model.state_dict(), self.pair.model
        changed = {n for n in architecture.overwritten if n in lams}
        changed |= {n for n in lams if state[n].dtype != architecture.dtypes[n]}
        for name in absent:
            self.findings.examine(name, lams[name], None)
        offloaded = [name for name in absent | changed if state[name].is_meta]
        if offloaded:
            raise PAHarnessError(
                f"{type(model).__name__} cannot be off-loaded to the disk, because "
                f"{offloaded[0]} is "
                "set after the load. Leave it on a device."
            )
        self._set(model, lams, only=absent | changed)

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
        self._set(model, lams)
        self.findings.check_written(self.dtype)
        self.lam = lam

    def keep_in_memory(self, model: PreTrainedModel) -> None:
        """Hold all originals beside the parameters, on their devices: of a pair three models."""
        kept = {}
        for name, parameter in model.state_dict().items():
            if name in self.pair.base_slices:
                copies = (knot[...].to(parameter.device, copy=True) for knot in self.knots(name))
                kept[name] = tuple(map(TensorSlice, copies))
        self._in_memory = kept

    @property
    def in_memory(self) -> bool:
        """Whether the originals are held beside the parameters."""
        return bool(self._in_memory)

    @torch.no_grad()
    def _set(
        self, model: PreTrainedModel, lams: Mapping[str, float], only: set[str] | None = None
    ) -> None:
        """Write θ_λ into the model's parameters and stored buffers, all or some."""
        for name, parameter in model.state_dict().items():
            if name not in lams or (only is not None and name not in only):
                continue
            if not parameter.is_floating_point():
                parameter.copy_(self.integers(name))
                continue
            device = _device(self.ends(name)[0])
            if parameter.device == device and parameter.is_contiguous():
                self.write_(parameter, name, lams[name])
            else:
                # Pinned, the next tensor is made while this one is copied; torch gives the memory
                # to nobody else before that is done. Made on the CPU, for its bytes are digested.
                pinned = parameter.is_cuda and device.type == "cpu"
                scratch = torch.empty_like(parameter, device=device, pin_memory=pinned)
                self.write_(scratch, name, lams[name])
                parameter.copy_(scratch, non_blocking=pinned)


class _Lazy:
    """What transformers' loader takes for a safetensors slice; reading it gives θ_λ."""

    def __init__(self, weights: LoadedWeights, key: str, lam: float) -> None:
        self._weights, self._key, self._lam = weights, key, lam

    def get_shape(self) -> list[int]:
        return self._weights.ends(self._key)[0].get_shape()

    def get_dtype(self) -> str:
        return str(self._weights.pair.model.dtypes[self._key])

    @torch.no_grad()
    def __getitem__(self, index: Any) -> torch.Tensor:
        weights, key, lam = self._weights, self._key, self._lam
        if index is ...:
            return weights.tensor(key, lam, weights.pair.model.dtypes[key])
        weights.findings.examine(key, lam, None)
        if not weights.ends(key)[0].dtype.is_floating_point:
            return weights.integers(key)[index].clone()
        # A shard of a tensor-parallel model.
        if weights.seed is not None:
            raise PAHarnessError("rounding=stochastic is not defined for tp_plan=. Drop one.")
        *ends, there = weights.path(key, lam)
        base, end = (TensorSlice(side[index]) for side in ends)
        shard = torch.empty(base.get_shape(), dtype=weights.pair.model.dtypes[key])
        interpolate_(shard, base, end, there)
        return shard


def fits_beside(model: PreTrainedModel, originals: int = 2) -> bool:
    """Whether the originals fit into an accelerator's memory beside a model.

    Together they may take three quarters of every accelerator that holds a part of it; the rest is
    for computing. On the CPU the files are in memory already.
    """
    taken: dict[torch.device, int] = {}
    for parameter in model.parameters():
        taken[parameter.device] = taken.get(parameter.device, 0) + parameter.nbytes
    return all(device.type == "cuda" for device in taken) and all(
        4 * (originals + 1) * size <= 3 * torch.cuda.get_device_properties(device).total_memory
        for device, size in taken.items()
    )


def _account(model: PreTrainedModel, info: Mapping[str, Any], known: Container[str]) -> None:
    """Every parameter and stored buffer has θ_λ, or is one that transformers computes itself.

    Args:
        model: just loaded.
        info: the loader's report.
        known: names that θ_λ has.

    Raises:
        RuntimeError: it is not so, which is a fault of this package.
    """
    lost = [name for name in sorted(info["missing_keys"]) if name not in known]
    for kind in ("unexpected_keys", "mismatched_keys", "error_msgs"):
        lost += map(str, info.get(kind) or ())
    if lost:
        raise RuntimeError(f"{type(model).__name__} was loaded without θ_λ for {lost[:20]}")


def _may_offload(device_map: Any) -> bool:
    """Whether the map may put weights on more than one device, the disk among them."""
    if isinstance(device_map, dict):
        return len(set(map(str, device_map.values()))) > 1 or "disk" in device_map.values()
    return isinstance(device_map, str)


def _device(source: Slice) -> torch.device:
    return source.tensor.device if isinstance(source, TensorSlice) else torch.device("cpu")


def _check_arguments(arguments: Mapping[str, Any], error: Exception) -> None:
    """Say so where a model argument is why transformers' loader failed.

    Args:
        arguments: what `from_pretrained` was given.
        error: what it raised.

    Raises:
        ModelArgsError: an argument that this installation or architecture does not support.
    """
    own = ("attn_implementation", "experts_implementation", "use_kernels")
    given = [f"{name}={arguments[name]!r}" for name in own if arguments.get(name)]
    if given:
        raise ModelArgsError(f"{', '.join(given)} cannot be used: {error}\nLeave it out.")
