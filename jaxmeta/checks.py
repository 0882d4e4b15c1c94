"""One check that every factory makes of its numbers."""


def at_least(least: float, **numbers: float | None) -> None:
    """Refuses a number below `least`, or NaN, by its name; None, a number not given, passes.

    >>> at_least(1, k_shot=5, q_queries=0)
    Traceback (most recent call last):
    ValueError: q_queries must be >= 1, got 0.

    Raises:
        ValueError: for the first such number.
    """
    for name, number in numbers.items():
        if number is not None and not number >= least:
            raise ValueError(f"{name} must be >= {least}, got {number}.")
