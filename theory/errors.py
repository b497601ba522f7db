"""The one exception for a caller's mistake (free of jax, so that the command line can use it at once)."""


class Misuse(Exception):
    """A mistake, told in one sentence: what was wrong, what was given, what to do.

    Not a ValueError: parsers catch those and wrap them in words of their own.
    """
