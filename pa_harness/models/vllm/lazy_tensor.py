"""θ_λ as a tensor that is computed where it is copied to.

An inference engine's own weight loading takes named tensors, cuts the part out that this process
holds (a shard of tensor parallelism, one of fused projections) and copies it into a parameter.
Given such tensors it reads and interpolates exactly that part, at that moment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._pytree import tree_map

from pa_harness.checkpoints.slices import Slice, TensorSlice
from pa_harness.weights.interpolation import interpolate_, tensor_seed

if TYPE_CHECKING:
    from collections.abc import Callable

_ATEN: Any = torch.ops.aten
_ALIASES = (_ATEN.detach.default, _ATEN.alias.default)


@dataclass(frozen=True)
class Origin:
    """What one tensor's values come from.

    Attributes:
        name: the checkpoint's key.
        ends: what it is between: θ_base and θ_instruct, or of a path two neighbours.
        lam: λ between these.
        dtype: of θ_λ, where it is computed for no destination in particular.
        seed: of stochastic rounding; None rounds to nearest.
        on_read: called with `name` when some of the tensor has been computed.
    """

    name: str
    ends: tuple[Slice, Slice]
    lam: float
    dtype: torch.dtype
    seed: int | None = None
    on_read: Callable[[str], None] = lambda _: None


class LazyTensor(torch.Tensor):
    """θ_λ of one checkpoint tensor, or a box of it. Cutting boxes costs nothing.

    Attributes:
        origin: of which tensor.
        box: the part of it, one slice per dimension.
    """

    origin: Origin
    box: tuple[slice, ...]

    @staticmethod
    def __new__(cls: type, origin: Origin, box: tuple[slice, ...] | None = None) -> LazyTensor:
        """Nothing is read yet.

        Args:
            cls: this class.
            origin: of which tensor.
            box: the part of it, one slice per dimension; None for all of it.
        """
        if box is None:
            box = tuple(slice(0, size) for size in origin.ends[0].get_shape())
        shape = [part.stop - part.start for part in box]
        self: LazyTensor = torch.Tensor._make_wrapper_subclass(  # noqa: SLF001 -- torch's own way
            cls, shape, dtype=origin.dtype
        )
        self.origin, self.box = origin, box
        return self

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        """Its name; the values are not computed for it."""
        return f"LazyTensor({self.origin.name!r}, {list(self.shape)}, lam={self.origin.lam})"

    @classmethod
    def __torch_dispatch__(  # type: ignore[override] # torch declares a plain function
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Cut, copy, or (whatever else is asked) compute it and go on as for any tensor."""
        if func in _ALIASES:
            return LazyTensor(args[0].origin, args[0].box)
        if func is _ATEN.slice.Tensor and isinstance(args[0], LazyTensor):
            cut = args[0].cut(*args[1:], **(kwargs or {}))
            if cut is not None:
                return cut
        if func is _ATEN.copy_.default and not isinstance(args[0], LazyTensor):
            return args[1].copy_to(args[0])
        plain = tree_map(lambda each: each.compute() if isinstance(each, cls) else each, args)
        return func(*plain, **(kwargs or {}))

    def compute(self, dtype: torch.dtype | None = None) -> torch.Tensor:
        """The values, on the CPU: one fp32 lerp and one rounding (see `interpolate_`).

        Args:
            dtype: default: the tensor's own.
        """
        out = torch.empty(self.shape, dtype=dtype or self.dtype)
        self._write(out)
        return out

    def cut(
        self, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
    ) -> LazyTensor | None:
        """The box between two indices of one dimension; None for a stride."""
        if step != 1:
            return None
        first, last, _ = slice(start, end).indices(self.shape[dim])
        box, dim = list(self.box), dim % self.dim()
        begin = box[dim].start
        box[dim] = slice(begin + first, begin + max(first, last))
        return LazyTensor(self.origin, tuple(box))

    def copy_to(self, target: torch.Tensor) -> torch.Tensor:
        """Fill the target, rounding once, to its dtype; a target without storage only counts."""
        if target.is_meta:
            return target
        if target.shape != self.shape:
            return target.copy_(self.compute())
        rounds_there = self.origin.seed is None
        if target.device.type == "cpu" and target.is_contiguous() and rounds_there:
            self._write(target)
            return target
        return target.copy_(self.compute(target.dtype if rounds_there else None))

    def _write(self, out: torch.Tensor) -> None:
        origin = self.origin
        base, instruct = origin.ends
        if origin.seed is not None:  # the whole tensor has one seed, whatever part is wanted
            whole = torch.empty(base.get_shape(), dtype=out.dtype)
            seed = tensor_seed(origin.seed, origin.name)
            interpolate_(whole, base, instruct, origin.lam, seed=seed)
            out.copy_(whole[self.box])
        elif not self.box:
            interpolate_(out, base, instruct, origin.lam)
        else:
            parts = TensorSlice(base[self.box]), TensorSlice(instruct[self.box])
            interpolate_(out, *parts, origin.lam)
        origin.on_read(origin.name)
