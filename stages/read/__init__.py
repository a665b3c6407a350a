"""Read: from the members of a partition to one row of facts a source video."""

from stages.read.phase import ReadPhase

__all__ = ["ReadPhase"]
