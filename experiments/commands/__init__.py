"""Commands of the command line: options, and what is called with them. No jax before it is needed."""
