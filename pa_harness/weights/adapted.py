"""Put θ_λ into a transformers model: while it is loaded, and again, in place, when λ changes.

Loading hands transformers' own loader a `state_dict` of lazy tensors; what it reads is already
interpolated. Key conversion, fused experts, device maps and tied weights stay its business, and
one tensor at a time is in memory beside the model.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from pa_harness.checkpoints.slices import Slice, TensorSlice
from pa_harness.errors import PAHarnessError, PairError, listed
from pa_harness.lam.reading import check_lam
from pa_harness.lam.schedule import Schedule
from pa_harness.weights.architecture import (
    check_fit,
    convert_,
    left_out,
    make_shell,
    parameter_sources,
    stored_tensors,
    tied_copies,
)
from pa_harness.weights.effective_lam import EffectiveLam, Moments, effective_lam, moments
from pa_harness.weights.inspection import Findings, weights_fingerprint
from pa_harness.weights.interpolation import interpolate_, tensor_seed
from pa_harness.weights.methods import Method, Setting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transformers import PreTrainedModel

    from pa_harness.checkpoints.pair import Pair
    from pa_harness.lam.schedule import Lam
    from pa_harness.weights.architecture import Sources


class AdaptedWeights:
    """θ_λ of one pair, for one model at a time.

    Attributes:
        lam: the λ that the model holds; None while it is being changed, or before loading.
        seed: seed of the stochastic rounding, None for rounding to nearest.
        findings: checksums, and what is wrong with the values that were read and made.
    """

    def __init__(
        self,
        pair: Pair,
        dtype: torch.dtype,
        *,
        seed: int | None = None,
        every_element: bool = False,
        check_finite: bool = True,
        method: Setting | None = None,
    ) -> None:
        """Nothing is read yet.

        Args:
            pair: the checked pair.
            dtype: dtype of the model's weights.
            seed: None, or the seed of stochastic rounding (bf16 only).
            every_element: measure λ_eff over every element instead of a sample.
            check_finite: refuse NaN and infinities in either checkpoint.
            method: the way along the path; None is linear.
        """
        self.pair, self.dtype = pair, dtype
        self.lam: Lam | None = None
        self.findings = Findings(pair, check_finite=check_finite)
        self.seed, self._every_element = seed, every_element
        self.method = Method(method or Setting())
        self._moments: dict[str, tuple[float, Moments]] = {}  # λ of the tensor, and its sums
        self._in_memory: dict[str, tuple[Slice, Slice]] = {}
        self._sources: Sources | None = None

    def per_tensor(self, lam: Lam) -> dict[str, float]:
        """λ of every checkpoint key; a rule of a schedule that matches none is a ModelArgsError."""
        keys = self.pair.base_slices
        lams = lam.per_tensor(keys) if isinstance(lam, Schedule) else dict.fromkeys(keys, lam)
        for each in set(lams.values()):
            check_lam(each)  # warns of extrapolation
        return lams

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
        lazy = {key: _Lazy(self, key, lams[key], examine=True) for key in lams}
        if _may_offload(kwargs.get("device_map")):
            shell = make_shell(cls, self.pair.config, self.pair.base)
            for name, key in tied_copies(shell, self.pair.base_slices).items():
                lazy[name] = _Lazy(self, key, lams[key])
        options: dict[str, Any] = {"config": self.pair.config, "state_dict": lazy, **kwargs}
        try:
            loaded: Any = cls.from_pretrained(
                None, dtype=self.dtype, output_loading_info=True, **options
            )
        except Exception as error:
            if not isinstance(error, PAHarnessError):
                check_fit(self.pair, cls, kwargs)
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
        rest = self._set_direct(model, lams)
        self._set_converted(model, lams, rest)
        self.findings.check_written(self.dtype)
        self.lam = lam

    def keep_in_memory(self, model: PreTrainedModel) -> None:
        """Hold both originals beside the parameters, on their devices: three models of memory."""
        direct, rest = self._sources_of(model)
        devices = {direct[n]: p.device for n, p in stored_tensors(model) if n in direct}
        for key in [*devices, *(key for keys in rest for key in keys)]:
            device = devices.get(key, torch.device("cpu"))
            ends = (self.pair.base_slices[key], self.pair.instruct_slices[key])
            self._in_memory[key] = (
                TensorSlice(ends[0][...].to(device, copy=True)),
                TensorSlice(ends[1][...].to(device, copy=True)),
            )

    def effective_lam(self) -> EffectiveLam:
        """λ_eff of the whole model (see `effective_lam.EffectiveLam`)."""
        return effective_lam(part for _, (_, part) in sorted(self._moments.items()))

    def effective_lam_per_tensor(self) -> dict[str, EffectiveLam]:
        """λ_eff per checkpoint key."""
        return {key: effective_lam([part]) for key, (_, part) in sorted(self._moments.items())}

    def asked_lam(self) -> float:
        """λ_eff without rounding: λ, or the mean of a schedule by share of the change."""
        if not isinstance(self.lam, Schedule):
            return math.nan if self.lam is None else self.lam
        shares = [(lam, part.weight * part.delta) for lam, part in self._moments.values()]
        total = sum(share for _, share in shares)
        return sum(lam * share for lam, share in shares) / total if total else math.nan

    def fingerprint(self) -> str:
        """A digest of θ_λ as written; empty where that was not wholly on the CPU."""
        written = self.findings.written
        return weights_fingerprint(written) if written.keys() == self._moments.keys() else ""

    def ends(self, key: str) -> tuple[Slice, Slice]:
        """θ_base and θ_instruct of one checkpoint key."""
        return self._in_memory.get(key) or (
            self.pair.base_slices[key],
            self.pair.instruct_slices[key],
        )

    def path(self, key: str, lam: float) -> tuple[Slice, Slice]:
        """θ_base and the end that the method gives (see `methods`): θ_λ is between the two."""
        base, instruct = self.ends(key)
        return base, self.method.end(key, base, instruct, lam)

    @torch.no_grad()
    def tensor(self, key: str, lam: float, dtype: torch.dtype) -> torch.Tensor:
        """θ_λ of one checkpoint tensor, examined and noted as when it is loaded."""
        base = self.pair.base_slices[key]
        if not base.dtype.is_floating_point:
            return _Lazy(self, key, lam, examine=True)[...]
        out = torch.empty(base.get_shape(), dtype=dtype)
        self.write_(out, key, lam)
        self.findings.examine(key, lam, out)
        return out

    def write_(self, out: torch.Tensor, key: str, lam: float) -> None:
        """θ_λ of one checkpoint tensor into `out`, and its moments into the records."""
        base, instruct = self.path(key, lam)
        seed = None if self.seed is None else tensor_seed(self.seed, key)
        interpolate_(out, base, instruct, lam, seed=seed)
        found = moments(out, base, instruct, lam, every_element=self._every_element)
        self._moments[key] = lam, found
        self.findings.note_written(key, lam, out)

    def _sources_of(self, model: PreTrainedModel) -> Sources:
        """`parameter_sources`, once: matching every key costs as much as a tenth of a change."""
        if self._sources is None:
            self._sources = parameter_sources(model, self.pair.base_slices)
        return self._sources

    @torch.no_grad()
    def _set_direct(
        self, model: PreTrainedModel, lams: Mapping[str, float], only: set[str] | None = None
    ) -> list[list[str]]:
        """Write every parameter that is one checkpoint tensor; return the keys of the others."""
        direct, rest = self._sources_of(model)
        for name, parameter in stored_tensors(model):
            if name not in direct or (only is not None and name not in only):
                continue
            key = direct[name]
            if parameter.device == _device(self.ends(key)) and parameter.is_contiguous():
                self.write_(parameter.data, key, lams[key])
            else:
                scratch = torch.empty_like(parameter, device=_device(self.ends(key)))
                self.write_(scratch, key, lams[key])
                parameter.copy_(scratch)
        return rest

    @torch.no_grad()
    def _set_converted(
        self, model: PreTrainedModel, lams: Mapping[str, float], groups: list[list[str]]
    ) -> None:
        """The parameters that transformers assembles (fused experts), one group at a time."""
        for keys in groups:
            convert_(model, {key: _Lazy(self, key, lams[key]) for key in keys}, self.dtype)


class _Lazy:
    """What transformers' loader takes for a safetensors slice; reading it gives θ_λ."""

    def __init__(
        self, weights: AdaptedWeights, key: str, lam: float, *, examine: bool = False
    ) -> None:
        self._weights, self._key, self._lam, self._examine = weights, key, lam, examine

    def get_shape(self) -> list[int]:
        return self._weights.ends(self._key)[0].get_shape()

    def get_dtype(self) -> str:
        return str(self._weights.dtype)

    @torch.no_grad()
    def __getitem__(self, index: Any) -> torch.Tensor:
        weights, key = self._weights, self._key
        base, instruct = weights.ends(key)
        if self._examine and (index is not ... or not base.dtype.is_floating_point):
            weights.findings.examine(key, self._lam, None)
        if not base.dtype.is_floating_point:
            if not torch.equal(base[...], instruct[...]):
                raise PairError(f"{key} holds integers that differ between base and instruct.")
            return base[index].clone()
        if index is not ...:  # a shard of a tensor-parallel model
            if weights.seed is not None:
                raise PAHarnessError("rounding=stochastic is not defined for tp_plan=. Drop one.")
            base, instruct = (TensorSlice(end[index]) for end in weights.path(key, self._lam))
            shard = torch.empty(base.get_shape(), dtype=weights.dtype)
            interpolate_(shard, base, instruct, self._lam)
            return shard
        out = torch.empty(base.get_shape(), dtype=weights.dtype)
        weights.write_(out, key, self._lam)
        if self._examine:
            weights.findings.examine(key, self._lam, out)
        return out


def _may_offload(device_map: Any) -> bool:
    """Whether the map may put weights on more than one device, the disk among them."""
    if isinstance(device_map, dict):
        return len(set(map(str, device_map.values()))) > 1 or "disk" in device_map.values()
    return isinstance(device_map, str)


def _device(ends: tuple[Slice, Slice]) -> torch.device:
    source = ends[0]
    return source.tensor.device if isinstance(source, TensorSlice) else torch.device("cpu")
