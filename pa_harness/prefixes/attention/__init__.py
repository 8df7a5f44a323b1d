"""Attention over a tree of tokens, in the place of a model's own: layers, passes, kernels."""
