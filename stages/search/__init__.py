"""Search for clips: by a text, by a clip or picture that they are like, and by conditions on columns.

In: a root, a query, and which clips are searched. Out: rows of the clips that are found, the most similar first; or,
for each of some clips, those that are most like it. faiss and pandas are imported at the first search.
"""

from typing import TYPE_CHECKING

from stages import lazy
from stages.search.request import BY, SEARCHED_ASSETS, Query, Scope

__all__ = ["BY", "SEARCHED_ASSETS", "Found", "Query", "Scope", "find_clips", "nearest_of_each", "search"]

if TYPE_CHECKING:
    from stages.search.neighbors import nearest_of_each
    from stages.search.searching import Found, find_clips, search
else:
    __getattr__ = lazy.module_getattr(
        __name__, searching=("Found", "find_clips", "search"), neighbors=("nearest_of_each",)
    )
