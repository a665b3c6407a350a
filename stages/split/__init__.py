"""Split: from videos to clips, which are spans until they are written.

In: kept rows of `videos`. Out: rows of `clips`, and the frame store of each video, all from one decode. A user's own
`Splitter` receives every frame scaled to a small picture and returns pieces of the `Timeline`; a user's own
`TransitionDetector` likewise, and returns the typed transitions between which clips are made.
"""

from stages.split.detector import TransitionDetector
from stages.split.phase import SplitPhase
from stages.split.spans import Piece, Shot
from stages.split.splitter import Splitter
from stages.split.timeline import Timeline
from stages.split.transitions import Transition

__all__ = ["Piece", "Shot", "SplitPhase", "Splitter", "Timeline", "Transition", "TransitionDetector"]
