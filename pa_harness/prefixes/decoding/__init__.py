"""Greedy texts of many prompts at once: families of prompts, rows in pages, steps."""
