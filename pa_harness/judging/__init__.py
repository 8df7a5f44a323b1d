"""AlpacaEval's win rates of a run's answers.

May import lam, tasks (AlpacaEval's file), runs and analysis. Used by cli.
"""
