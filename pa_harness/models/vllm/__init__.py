"""θ_λ in a running vLLM engine: its lm-eval model, what its workers do, and its weights."""
