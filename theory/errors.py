"""The one exception for a caller's mistake (free of jax, so that the command line can use it at once)."""


class Misuse(ValueError):
    """A mistake, told in one sentence: what was wrong, what was given, what to do."""
