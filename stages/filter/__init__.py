"""The filter phase: scores every clip once, and decides kept or rejected again whenever a threshold changes.

In: kept rows of `clips`, and frames of the frame store. Out: rows of `filtered_clips`. A user's own `Filter` returns
scores, and declares a `Limit` for each score that it bounds.
"""

from stages.filter.base import Filter, Limit, Scores
from stages.filter.phase import FilterPhase, build_filters, named_filters

__all__ = ["Filter", "FilterPhase", "Limit", "Scores", "build_filters", "named_filters"]
