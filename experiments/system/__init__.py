"""The machine around a run: child processes, interrupts, terminals and variables. No jax."""
