"""The command `pa-harness`: a file for each verb, the parser in main, what verbs share in verb.

May import everything but models, prefixes and checkpoints; weights and export inside functions.
"""
