"""What is on disk: files, configurations, vocabularies, adapters, and whether two belong together.

May import nothing of the house but the ground floor. Used by weights, models and export.
"""
