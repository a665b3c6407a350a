"""The cursor between two scans of a source."""

import json
from dataclasses import asdict, dataclass, field

from pydantic import TypeAdapter, ValidationError


@dataclass(frozen=True)
class SourceCursor:
    """State that a scan leaves for the next one. Dagster stores it as JSON: the field names are part of the format.

    Attributes:
        position: in the listing, where it takes several scans; empty at its beginning.
        seen: by video id, when a video was first listed whose store does not say when it was modified.
        requested: number of the newest entry of the register for which a run was requested.
        registration: id of the registration of that entry, which differs in another root.
    """

    position: str = ""
    seen: dict[str, float] = field(default_factory=lambda: {})
    requested: int = 0
    registration: str = ""

    @classmethod
    def parse(cls, text: str | None) -> "SourceCursor":
        """Inverse of `serialize`; a missing or foreign text gives the initial cursor, which repeats no run."""
        try:
            return _CURSOR.validate_json(text or "{}")
        except ValidationError:
            return cls()

    def serialize(self) -> str:
        """The text that Dagster stores."""
        return json.dumps(asdict(self))


_CURSOR = TypeAdapter(SourceCursor)
