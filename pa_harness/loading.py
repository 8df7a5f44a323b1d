"""Put θ_λ into a transformers model: while it is loaded, and again, in place, when λ changes.

Loading hands transformers' own loader a `state_dict` of lazy tensors; what it reads is already
interpolated. Key conversion, fused experts, device maps and tied weights stay its business, and
one tensor at a time is in memory beside the model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from pa_harness.adapter import LoraSlice, adapted_slices, read_adapter
from pa_harness.architecture import (
    check_fit,
    convert_,
    left_out,
    make_shell,
    parameter_sources,
    stored_tensors,
    tied_copies,
)
from pa_harness.checkpoint import checksum, is_finite
from pa_harness.errors import CheckpointError, PAHarnessError, PairError, listed
from pa_harness.interpolation import (
    EffectiveLam,
    Moments,
    Slice,
    TensorSlice,
    effective_lam,
    interpolate_,
    moments,
    tensor_seed,
)
from pa_harness.pair import check_not_equal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transformers import PreTrainedModel

    from pa_harness.architecture import Sources
    from pa_harness.pair import Pair


class AdaptedWeights:
    """θ_λ of one pair, for one model at a time.

    Attributes:
        lam: the λ that the model holds; None while it is being changed, or before loading.
        seed: seed of the stochastic rounding, None for rounding to nearest.
        checksums: per side and checkpoint key, `checksum` of the tensor, known after loading.
    """

    def __init__(
        self,
        pair: Pair,
        dtype: torch.dtype,
        *,
        seed: int | None = None,
        every_element: bool = False,
        check_finite: bool = True,
    ) -> None:
        """Nothing is read yet.

        Args:
            pair: the checked pair.
            dtype: dtype of the model's weights.
            seed: None, or the seed of stochastic rounding (bf16 only).
            every_element: measure λ_eff over every element instead of a sample.
            check_finite: refuse NaN and infinities in either checkpoint.
        """
        self.pair, self.dtype = pair, dtype
        self.lam: float | None = None
        self.checksums: dict[str, dict[str, int]] = {"base": {}, "instruct": {}}
        self.seed, self._every_element, self._check_finite = seed, every_element, check_finite
        self._moments: dict[str, Moments] = {}
        self._not_finite: list[str] = []
        self._overflowed: list[str] = []
        self._in_memory: dict[str, tuple[Slice, Slice]] = {}
        self._sources: Sources | None = None

    def load(self, cls: type[PreTrainedModel], lam: float, **kwargs: Any) -> PreTrainedModel:
        """A new model holding θ_λ.

        Memory: the model plus one tensor; the checkpoints stay in the page cache.

        Args:
            cls: the concrete model class (an Auto class cannot take a state_dict).
            lam: λ.
            kwargs: for `from_pretrained` (device_map, attn_implementation, ...).

        Raises:
            CheckpointError: NaN or Inf in a checkpoint.
            PairError: tensors that the architecture needs are missing, or have another shape.
        """
        self._not_finite, self._overflowed = [], []
        lazy = {key: _Lazy(self, key, lam, examine=True) for key in self.pair.base_slices}
        if _may_offload(kwargs.get("device_map")):
            shell = make_shell(self.pair, cls)
            for name, key in tied_copies(shell, self.pair.base_slices).items():
                lazy[name] = _Lazy(self, key, lam)
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
        self._check_loaded(loaded[1])
        # Modules that transformers keeps in fp32 got values rounded to `dtype`; round them once.
        wider = [n for n, p in stored_tensors(model) if p.dtype != self.dtype and not p.is_meta]
        if wider:
            self._set_direct(model, lam, only=set(wider))
        self._check_overflow(lam)
        self.lam = lam
        return model

    def set_lam_(self, model: PreTrainedModel, lam: float) -> None:
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
        self._overflowed = []
        self.lam = None  # until done: an interrupted change leaves no λ that could be reported
        rest = self._set_direct(model, lam)
        self._set_converted(model, lam, rest)
        self._check_overflow(lam)
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
        """λ_eff of the whole model (see `interpolation.EffectiveLam`)."""
        return effective_lam(part for _, part in sorted(self._moments.items()))

    def effective_lam_per_tensor(self) -> dict[str, EffectiveLam]:
        """λ_eff per checkpoint key."""
        return {key: effective_lam([part]) for key, part in sorted(self._moments.items())}

    def ends(self, key: str) -> tuple[Slice, Slice]:
        """θ_base and θ_instruct of one checkpoint key."""
        return self._in_memory.get(key) or (
            self.pair.base_slices[key],
            self.pair.instruct_slices[key],
        )

    def write_(self, out: torch.Tensor, key: str, lam: float) -> None:
        """θ_λ of one checkpoint tensor into `out`, and its moments into the records."""
        base, instruct = self.ends(key)
        seed = None if self.seed is None else tensor_seed(self.seed, key)
        interpolate_(out, base, instruct, lam, seed=seed)
        self._moments[key] = moments(out, base, instruct, lam, every_element=self._every_element)
        if self._check_finite and not 0 <= lam <= 1 and not is_finite(out):
            self._overflowed.append(key)

    def examine(self, key: str, lam: float, out: torch.Tensor | None) -> None:
        """Checksum both ends; note NaN or Inf, which θ_λ (`out`) shows too, but at λ = 0 and 1."""
        ends = {"base": self.pair.base_slices[key], "instruct": self.pair.instruct_slices[key]}
        suspect = self._check_finite and (out is None or lam in (0.0, 1.0) or not is_finite(out))
        for side, end in ends.items():
            if isinstance(end, LoraSlice) or (side == "instruct" and end is ends["base"]):
                continue  # a LoRA pair: the adapter was checked when it was read
            value = end[...]
            self.checksums[side][key] = checksum(value)
            if suspect and not is_finite(value):
                self._not_finite.append(f"{side} {key}")

    def _check_overflow(self, lam: float) -> None:
        if self._overflowed:
            raise PAHarnessError(
                f"λ={lam} takes {len(self._overflowed)} tensors out of the range of {self.dtype}:\n"
                f"{listed(sorted(self._overflowed))}\nUse a smaller λ, or dtype=float32."
            )

    def _check_loaded(self, info: Mapping[str, Any]) -> None:
        if self._not_finite:
            raise CheckpointError(
                f"{len(self._not_finite)} tensors hold NaN or Inf:\n"
                f"{listed(sorted(self._not_finite))}\nDo not trust such a checkpoint; download it "
                "again, or pass check_finite=False to load it all the same."
            )
        self.pair.notes += left_out(self.pair.config, self.pair.base_slices, info)
        check_not_equal(self.pair, self.checksums["base"], self.checksums["instruct"])

    def _sources_of(self, model: PreTrainedModel) -> Sources:
        """`parameter_sources`, once: matching every key costs as much as a tenth of a change."""
        if self._sources is None:
            self._sources = parameter_sources(model, self.pair.base_slices)
        return self._sources

    @torch.no_grad()
    def _set_direct(
        self, model: PreTrainedModel, lam: float, only: set[str] | None = None
    ) -> list[list[str]]:
        """Write every parameter that is one checkpoint tensor; return the keys of the others."""
        direct, rest = self._sources_of(model)
        for name, parameter in stored_tensors(model):
            if name not in direct or (only is not None and name not in only):
                continue
            key = direct[name]
            if parameter.device == _device(self.ends(key)) and parameter.is_contiguous():
                self.write_(parameter.data, key, lam)
            else:
                scratch = torch.empty_like(parameter, device=_device(self.ends(key)))
                self.write_(scratch, key, lam)
                parameter.copy_(scratch)
        return rest

    @torch.no_grad()
    def _set_converted(self, model: PreTrainedModel, lam: float, groups: list[list[str]]) -> None:
        """The parameters that transformers assembles (fused experts), one group at a time."""
        for keys in groups:
            convert_(model, {key: _Lazy(self, key, lam) for key in keys}, self.dtype)


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
            weights.examine(key, self._lam, None)
        if not base.dtype.is_floating_point:
            if not torch.equal(base[...], instruct[...]):
                raise PairError(f"{key} holds integers that differ between base and instruct.")
            return base[index].clone()
        if index is not ...:  # a shard of a tensor-parallel model
            if weights.seed is not None:
                raise PAHarnessError("rounding=stochastic is not defined for tp_plan=. Drop one.")
            base, instruct = TensorSlice(base[index]), TensorSlice(instruct[index])
            shard = torch.empty(base.get_shape(), dtype=weights.dtype)
            interpolate_(shard, base, instruct, self._lam)
            return shard
        out = torch.empty(base.get_shape(), dtype=weights.dtype)
        weights.write_(out, key, self._lam)
        if self._examine:
            weights.examine(key, self._lam, out)
        return out


def attach_adapter(pair: Pair, cls: type[PreTrainedModel]) -> None:
    """Make `pair.instruct_slices` the base's tensors plus the adapter's ΔW.

    Raises:
        AdapterError: the adapter is not linear in λ.
        PairError: it does not fit the base.
    """
    adapter = read_adapter(pair.instruct)
    shell = make_shell(pair, cls)
    direct, _ = parameter_sources(shell, pair.base_slices)
    pair.instruct_slices = adapted_slices(adapter, shell, direct, pair.base_slices)


def _may_offload(device_map: Any) -> bool:
    """Whether the map may put weights on more than one device, the disk among them."""
    if isinstance(device_map, dict):
        return len(set(map(str, device_map.values()))) > 1 or "disk" in device_map.values()
    return isinstance(device_map, str)


def _device(ends: tuple[Slice, Slice]) -> torch.device:
    source = ends[0]
    return source.tensor.device if isinstance(source, TensorSlice) else torch.device("cpu")
