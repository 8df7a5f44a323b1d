"""Prompts that begin alike go through a model once: a trie of tokens, its passes, its attention.

Knows no task and no λ; may import nothing of the house but the ground floor. Used by models.
"""
