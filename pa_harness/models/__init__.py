"""lm-eval's models of θ_λ. Nobody imports this wing: lm-eval's registry asks for them by name.

May import lam, checkpoints, weights and prefixes.
"""
