"""A run for people: tables, figures, one page.

May import runs, analysis and leaderboards. Used by cli.
"""
