"""A demo with a real model pair and real data: ``python -m benchmarks.demo``.

Where the model hub answers, the pair is SmolLM2-135M and its Instruct. Elsewhere a base model that
arrives as Python packages is tuned here, once, and kept in the cache.
"""
