"""The read phase: probes every source video of a partition, and writes one row of `videos` for each.

In: the members of a partition, from the register. Out: rows of `videos`, with the columns that a header gives.
"""

from stages.read.phase import ReadPhase

__all__ = ["ReadPhase"]
