"""Verbs that show what is shipped with the package."""
