"""How often, and after which wait, something is tried again whose failure may pass."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Growing waits: the first, twice as long with each further try, never above a ceiling.

    Attributes:
        tries: how often something is tried in all, at least 1.
        first_s: seconds before the second try.
        ceiling_s: longest wait.
    """

    tries: int = 4
    first_s: float = 1.0
    ceiling_s: float = 30.0

    def wait_s(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row, counted from 1."""
        return min(self.first_s * 2.0 ** (failures - 1), self.ceiling_s)

    def waits(self) -> Iterator[float]:
        """The waits between the tries, one fewer than there are tries."""
        return (self.wait_s(failures) for failures in range(1, self.tries))
