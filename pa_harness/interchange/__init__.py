"""A number that anybody reported, as programs exchange it.

May import runs. Used by leaderboards and cli.
"""
