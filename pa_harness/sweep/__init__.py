"""Tasks × λ through lm-eval, unit by unit, on one device or many; resumed after any stop.

May import tasks, runs, analysis (--lam auto) and registration. Used by cli.
"""
