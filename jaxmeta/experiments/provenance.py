"""What is known of the experiment that a recipe reproduces. Nothing of it is a setting."""

import dataclasses
import re

# Such as "98.7 ± 0.4 %, transductive" or "MSE 0.88 ± 0.14 after 1 step at 5 shots".
_NUMBER = re.compile(
    r"(?:MSE )?(?P<mean>-?\d+(?:\.\d+)?)(?: ± (?P<interval>\d+(?:\.\d+)?))?(?P<percent> %)?"
    r"(?:,? (?P<protocol>[^,;(]+))?(?: \(recollected, not seen\))?"
)
RECOLLECTED = "(recollected, not seen)"


@dataclasses.dataclass(frozen=True)
class Published:
    """What a paper reports for the setting of a recipe."""

    text: str = "none"
    """In words, as tables and the command show it; "none" where there is nothing."""
    mean: float | None = None
    """The number in the unit of our results, such as accuracy from 0 to 1. None where the paper has
    none, or several."""
    interval: float | None = None
    """Half the width of its interval, in the same unit. None where there is none."""
    protocol: str | None = None
    """How it was measured, such as "inductive" or "after 1 step at 5 shots"."""
    source: str | None = None
    """Where it stands. None: in the paper of the recipe."""
    is_recollected: bool = False
    """Whether it is known from memory and was not seen in the paper."""

    @classmethod
    def of(cls, text: str, source: str | None = None) -> "Published":
        """From words, with the number in them where there is one.

        Example:
          >>> found = Published.of("98.5 ± 0.5 %, transductive (recollected, not seen)")
          >>> found.mean, found.interval, found.protocol, found.is_recollected
          (0.985, 0.005, 'transductive', True)
          >>> Published.of("a figure only").mean is None
          True
        """
        is_recollected = RECOLLECTED in text
        found = _NUMBER.fullmatch(text)
        if found is None:
            return cls(text, source=source, is_recollected=is_recollected)
        digits = 2 if found["percent"] else 0
        mean, interval = (
            None if number is None else round(float(number) / 10**digits, 12)
            for number in (found["mean"], found["interval"])
        )
        protocol = found["protocol"] and found["protocol"].strip()
        return cls(text, mean, interval, protocol or None, source, is_recollected)


@dataclasses.dataclass(frozen=True)
class Provenance:
    """The paper of a recipe, what it reports, and what is done otherwise here."""

    paper: str = "none"
    """Paper and setting."""
    published: Published = dataclasses.field(default_factory=Published)
    """The number to reach."""
    changes: str = "none"
    """What the recipe changes against the paper."""
