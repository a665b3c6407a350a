"""The read phase: probes every source video of a partition, and writes one row of `videos` for each.

In: the members of a partition, from the register. Out: rows of `videos`, with the columns that a header gives. Copies
of sources that were registered earlier are rejected.
"""

from stages.read.fingerprint_store import erase_fingerprints
from stages.read.phase import ReadPhase

__all__ = ["ReadPhase", "erase_fingerprints"]
