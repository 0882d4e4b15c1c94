"""What is measured, and how a number of it is read."""

import dataclasses
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Metric:
    """A quantity by which learners of one domain are compared."""

    name: str
    is_better: Callable[[float, float], bool]  # (new, best so far)
    scale: float = 1.0  # from the number to what is shown
    unit: str = ""
    label: str = ""  # before a number
    digits: int = 3
    row: str = "inductive"  # of an evaluation: the main result
    is_logarithmic: bool = False  # on the axis of a picture

    def text(self, mean: float, interval: float | None) -> str:
        """A mean with its 95% interval, which that of one episode lacks.

        >>> ACCURACY.text(0.98765, 0.0043)
        '98.77 ± 0.43 %'
        >>> SQUARED_ERROR.text(0.5, None)
        'MSE 0.500'
        """
        numbers = [mean] if interval is None else [mean, interval]
        shown = " ± ".join(f"{self.scale * number:.{self.digits}f}" for number in numbers)
        return " ".join(part for part in (self.label, shown, self.unit) if part)


ACCURACY = Metric("accuracy", float.__gt__, scale=100, unit="%", digits=2)
SQUARED_ERROR = Metric("mean squared error", float.__lt__, label="MSE", is_logarithmic=True)
RETURN = Metric("return", float.__gt__, row="return")
_OURS = {metric.name: metric for metric in (ACCURACY, SQUARED_ERROR, RETURN)}


def named(name: str) -> Metric:
    """The metric of that name; of a user's own the plain number after its name.

    >>> named("mean absolute error").text(0.25, 0.01)
    'mean absolute error 0.250 ± 0.010'
    """
    return _OURS.get(name) or Metric(name, float.__gt__, label=name)
