"""Clusters of embeddings for quotas: k-means of the oldest clips, to whose centres all others are assigned."""

import numpy as np

from stages.dedup.arrays import Positions, VectorSource
from stages.dedup.kmeans import kmeans, nearest_centre

CLUSTERED_CLIPS = 20_000
"""Clips that clusters are made of: the oldest, so that a clip's cluster stays the same as others come."""
ROWS_AT_ONCE = 65_536


def cluster_labels(vectors: VectorSource, members: Positions, num_clusters: int, seed: int) -> Positions:
    """Int64 ``[M]``: the cluster of each member, whose positions rise from the oldest to the newest."""
    if not len(members):
        return np.empty(0, np.int64)
    oldest = vectors[members[:CLUSTERED_CLIPS]]
    _, centres = kmeans(oldest, min(num_clusters, len(oldest)), seed)
    parts = [
        nearest_centre(vectors[members[start : start + ROWS_AT_ONCE]], centres)[0]
        for start in range(0, len(members), ROWS_AT_ONCE)
    ]
    return np.concatenate(parts)
