"""What went through a model, and what would have."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field


@dataclass
class Counts:
    """Of one evaluation.

    Attributes:
        computed: tokens of prompts that were computed.
        distinct: tokens of the tries: the least possible.
        stock: tokens that HFLM would have computed, its padding left out.
        decoded: tokens of continuations that were computed; HFLM computes as many.
        passes: forward passes.
        needed: entries of attention that the tokens see, in a layer without a window.
        attended: entries that were computed for it.
        shapes: sizes, in tokens and slots, that the model and its path met.
    """

    computed: int = 0
    distinct: int = 0
    stock: int = 0
    decoded: int = 0
    passes: int = 0
    needed: int = 0
    attended: int = 0
    shapes: set[tuple[int, ...]] = field(default_factory=set)

    @property
    def tokens(self) -> int:
        """That went through the model."""
        return self.computed + self.decoded

    def as_dict(self) -> dict[str, int]:
        """For the results; of the shapes their number."""
        return {**asdict(self), "shapes": len(self.shapes)}
