"""λ as it is written and as it is meant: a number, rules by layer and module, a sweep's grid.

May import nothing of the house but the ground floor, and no torch. Used by weights, models, export,
runs, judging and cli.
"""
