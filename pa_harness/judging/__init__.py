"""AlpacaEval's win rates of a run's answers.

May import lam, runs and analysis. Used by cli.
"""
