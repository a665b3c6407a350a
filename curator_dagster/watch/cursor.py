"""Where a look at the bucket ended, as Dagster keeps it for the next."""

import json
from dataclasses import asdict, dataclass, field

from pydantic import TypeAdapter, ValidationError


@dataclass(frozen=True)
class Cursor:
    """Where the last look ended.

    Attributes:
        position: of the listing, which is longer than a look; empty at its beginning.
        seen: by video id, since when a video is known whose store does not say when it changed.
        requested: number of the newest registration that a run was asked for.
        registration: how that one is marked; another root has another one under the number.
    """

    position: str = ""
    seen: dict[str, float] = field(default_factory=lambda: {})
    requested: int = 0
    registration: str = ""

    @classmethod
    def parse(cls, text: str | None) -> "Cursor":
        """From what `text` wrote; a lost or foreign one begins anew, which does nothing twice."""
        try:
            return _CURSOR.validate_json(text or "{}")
        except ValidationError:
            return cls()

    def text(self) -> str:
        """As Dagster keeps it."""
        return json.dumps(asdict(self))


_CURSOR = TypeAdapter(Cursor)
