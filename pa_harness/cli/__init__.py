"""The command `pa-harness`: a file for each verb, what they share in verb, the parser in main.

`run`, which is lm-eval's to parse, is in main as well. May import everything but models, prefixes
and checkpoints; weights and export inside functions.
"""
