"""Branches as rows of a batch, from forked caches: layers with state, attention of any kind."""
