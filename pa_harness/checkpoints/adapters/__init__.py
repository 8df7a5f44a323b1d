"""LoRA adapters: their files, and what they make of a base's parameters."""
