"""A model to ship: its files, its card, a check against the run; or a recipe for another tool.

May import lam, checkpoints, weights and runs. Used by cli (inside functions).
"""
