"""The package from Python: a sweep is a call, a run an object with tables and figures.

May import all but cli. Used by nobody: `pa_harness` itself hands out its names when asked.
"""
