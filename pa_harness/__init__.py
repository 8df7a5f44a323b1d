"""pa-harness: how much instruction tuning should I keep?

Partial adaptation moves an instruct model's weights part of the way back to its base model:

    θ_λ = θ_base + λ (θ_instruct − θ_base)

(İrsoy et al. 2025, "Improving Instruct Models for Free: A Study on Partial Adaptation",
arXiv 2504.11626). λ = 0 is the base model, λ = 1 the instruct model. λ is typed ``lam``
(``lambda`` is a Python keyword); wise-ft calls it α, mergekit's slerp calls it ``t``.

This module imports nothing, so that the startup hook (`pa_harness.registration`) stays cheap.
"""

__version__ = "0.1.0"
