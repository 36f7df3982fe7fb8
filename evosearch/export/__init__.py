"""Export: a program as source that a person would have written, for optax, PyTorch, JAX and LaTeX."""
