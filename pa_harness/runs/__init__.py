"""A run is a folder: what lies in it, and how each of its files is read and written.

May import lam and tasks. Used by the whole table half and export.
"""
