"""Names of tables: an asset's own has the asset's name, that of a further embedder is ``embeddings.NAME``."""

import re

MULTIPLE = "embeddings"
"""The asset that may have further tables."""
_FURTHER_NAME = re.compile("[a-z0-9][a-z0-9_-]{0,39}")


def further_table(name: str) -> str:
    """The table of a further embedder.

    Raises:
        ValueError: the name cannot be that of a folder everywhere.
    """
    if not _FURTHER_NAME.fullmatch(name):
        raise ValueError(
            f"a name must have small letters, digits, '-' and '_', a letter or digit first, at most 40, got {name!r}"
        )
    return f"{MULTIPLE}.{name}"


def asset_of(table: str) -> str:
    """The asset that a table belongs to: ``embeddings`` of ``embeddings.siglip``, else the table itself."""
    asset, dot, name = table.partition(".")
    return asset if dot and asset == MULTIPLE and _FURTHER_NAME.fullmatch(name) else table


def name_of(table: str) -> str:
    """``siglip`` of ``embeddings.siglip``; empty for an asset's own table."""
    return table.removeprefix(asset_of(table)).removeprefix(".")
