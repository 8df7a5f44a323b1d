"""What a run shows, with its uncertainty: numbers in, records out.

May import tasks (their categories) and runs. Used by sweep, judging, report and cli.
"""
