"""The embed phase: one vector per clip, from its sampled frames.

In: kept rows of `filtered_clips`, and frames of the frame store. Out: rows of `embeddings`.
"""

from stages.embed.phase import EmbedPhase

__all__ = ["EmbedPhase"]
