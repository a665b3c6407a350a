"""Filter: scores every clip once, and decides from scores and thresholds as often as these change.

In: kept rows of `clips`, and stored pictures. Out: rows of `filtered_clips`. A `Filter` of one's own returns scores and
says which of them have a `Limit`.
"""

from stages.filter.base import Filter, Limit, Scores
from stages.filter.phase import FilterPhase, build_filters

__all__ = ["Filter", "FilterPhase", "Limit", "Scores", "build_filters"]
