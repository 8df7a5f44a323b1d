"""The shipped tasks: where their YAMLs are, how they are averaged, and what the YAMLs name.

Their YAMLs lie in ``task_configs/``. Imports nothing of the house but the ground floor. Used by
registration, runs, analysis, sweep, judging and cli, and by lm-eval (``!function`` of the YAMLs).
"""
