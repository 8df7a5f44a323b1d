"""A LoRA as the instruct side: what its folder holds, and the weights that it makes."""
