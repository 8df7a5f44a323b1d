"""Values that transformers' initialisation writes over loaded ones.

After a load every module is initialised once more, by functions that leave loaded tensors alone.
Some models write into a part of a tensor by other means (Youtu's padding row, Zaya's balancing
biases). The model that `hf` evaluates has these values, and so have both ends of λ.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from pa_harness.checkpoints.slices import ComputedSlice

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from transformers import PreTrainedModel

    from pa_harness.checkpoints.slices import Slice

Initialiser = tuple[Any, Any]  # the model whose rules hold, and the module that is initialised
_RANDOM = ("normal_", "uniform_", "random_", "bernoulli_")


class InitialisedSlice(ComputedSlice):
    """A parameter of a file as it is once transformers has initialised the model."""

    by_rows = False

    def __init__(
        self, source: Slice, shell: PreTrainedModel, name: str, initialisers: list[Initialiser]
    ) -> None:
        super().__init__(source.get_shape(), source.dtype)
        self._source, self._shell, self._name = source, shell, name
        self._initialisers = initialisers

    def rows(self, index: Any) -> torch.Tensor:
        """Rows of the whole, which is initialised in the place of the shell's own."""
        path, _, attribute = self._name.rpartition(".")
        module: Any = self._shell.get_submodule(path)
        value = _loaded(self._source[...].clone())
        held = vars(module)[
            "_parameters" if attribute in vars(module)["_parameters"] else "_buffers"
        ]
        before, held[attribute] = held[attribute], value
        try:
            with _as_after_a_load():
                for initialiser in self._initialisers:
                    _initialise(initialiser, self._shell)
        finally:
            held[attribute] = before
        return value[index]


def find_overwritten(
    shell: PreTrainedModel, stored: Mapping[str, torch.Tensor]
) -> tuple[dict[str, list[Initialiser]], list[str]]:
    """What initialisation writes to although it was loaded.

    Args:
        shell: the model, without values.
        stored: its parameters and stored buffers by name.

    Returns:
        By name, what writes to it; and the names that random values are written to.
    """
    for tensor in [*shell.parameters(), *shell.buffers()]:
        _loaded(tensor)
    names = {_storage(tensor): name for name, tensor in stored.items()}
    found: dict[str, list[Initialiser]] = {}
    drawn: list[str] = []
    with _as_after_a_load(), _Writes() as writes:
        for initialiser in _initialisers(shell, shell):
            writes.seen.clear()
            _initialise(initialiser, shell)
            for storage, operation in writes.seen:
                if storage not in names:
                    continue
                found.setdefault(names[storage], []).append(initialiser)
                if any(each in operation for each in _RANDOM):
                    drawn.append(names[storage])
    return {name: list(dict.fromkeys(each)) for name, each in found.items()}, drawn


def _initialisers(module: Any, rules: PreTrainedModel) -> Iterator[Initialiser]:
    """Every module, children first, with the model whose rules hold for it."""
    from transformers import PreTrainedModel

    for child in module.children():
        yield from _initialisers(child, child if isinstance(child, PreTrainedModel) else rules)
    yield rules, module


@contextmanager
def _as_after_a_load() -> Iterator[None]:
    """Where torch's own initialising functions leave loaded tensors alone."""
    from transformers.initialization import guard_torch_init_functions

    with torch.no_grad(), guard_torch_init_functions():
        yield


def _initialise(initialiser: Initialiser, shell: PreTrainedModel) -> None:
    rules, module = initialiser
    module.__dict__.pop("_is_hf_initialized", None)
    rules._initialize_weights(module, shell.is_custom_code())  # noqa: SLF001 -- what from_pretrained calls


def _loaded(tensor: torch.Tensor) -> torch.Tensor:
    setattr(tensor, "_is_hf_initialized", True)  # noqa: B010 -- transformers' own mark
    return tensor


def _storage(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)  # noqa: SLF001 -- of meta tensors, no other


class _Writes(TorchDispatchMode):  # type: ignore[no-untyped-call] # torch's own
    """Which storages are written to, and by which operation.

    Attributes:
        seen: storage and name of the operation, in order.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # torch's own
        self.seen: list[tuple[int, str]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Note the arguments that the operation changes, and let it."""
        declared_all = func._schema.arguments  # noqa: SLF001 -- has no public reader
        for argument, declared in zip(args, declared_all, strict=False):
            alias = declared.alias_info
            if alias is not None and alias.is_write and isinstance(argument, torch.Tensor):
                self.seen.append((_storage(argument), str(func)))
        return func(*args, **(kwargs or {}))
