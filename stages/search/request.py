"""What is searched for, and among which clips. Light: the command line imports it."""

from dataclasses import dataclass
from typing import Literal, get_args

from stages.errors import ParamsError, did_you_mean

By = Literal["auto", "embeddings", "captions"]
BY = get_args(By)
"""What a text is compared with: the vectors of pictures where their model has a text tower, else captions."""
SEARCHED_ASSETS = ("clips", "filtered_clips", "embeddings", "unique_clips", "dataset")
"""Assets whose rows are clips."""
STATUSES = ("kept", "rejected", "failed", "all")


@dataclass(frozen=True)
class Query:
    """What the clips are to be like. Of several together, a clip must be like their mean.

    Attributes:
        text: a description.
        like: the id of a clip.
        image: a picture file, by path or URL.
        by: what the text is compared with.
        embedder: name of the further embedder whose vectors are compared; "" for the first.
    """

    text: str | None = None
    like: str | None = None
    image: str | None = None
    by: By = "auto"
    embedder: str = ""

    def __post_init__(self) -> None:
        if self.embedder and self.by == "captions":
            raise ParamsError("A search of captions reads no embeddings, got --embedder too. Leave one of them out.")
        if self.by not in BY:
            raise ParamsError(f"by must be one of {', '.join(BY)}, got {self.by!r}.{did_you_mean(self.by, BY)}")
        if self.text is not None and not self.text.strip():
            raise ParamsError("The text to search for must have words in it, got none.")

    @property
    def is_text_alone(self) -> bool:
        """True where clips are to be like a text, and nothing else."""
        return self.text is not None and self.like is None and self.image is None

    @property
    def is_empty(self) -> bool:
        """True where clips are not to be like anything."""
        return self.text is None and self.like is None and self.image is None


@dataclass(frozen=True)
class Scope:
    """The clips that are searched.

    Attributes:
        asset: whose rows they are.
        status: of these rows, or "all".
        version: number or tag of a version of the root; the newest commits where none is given.
        where: a condition on their columns, see `stages.search.where`.
    """

    asset: str = "unique_clips"
    status: str = "kept"
    version: int | str | None = None
    where: str | None = None

    def __post_init__(self) -> None:
        for name, value, allowed in (("asset", self.asset, SEARCHED_ASSETS), ("status", self.status, STATUSES)):
            if value not in allowed:
                meant = did_you_mean(value, allowed)
                raise ParamsError(f"{name} must be one of {', '.join(allowed)}, got {value!r}.{meant}")
