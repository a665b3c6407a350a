"""Embed: one vector a clip, from its stored pictures."""

from stages.embed.phase import EmbedPhase

__all__ = ["EmbedPhase"]
