"""θ_λ made of a pair: model arguments in, a λ for each tensor, one fp32 lerp and one rounding out.

Knows no lm-eval. May import lam and checkpoints. Used by models, export and cli (inside functions).
"""
