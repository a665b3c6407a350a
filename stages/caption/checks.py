"""Decides which captions are kept, from stored scores: the first check that a caption fails is its reason."""

from collections.abc import Callable, Mapping
from typing import Any

from stages.caption.answers import CONTRADICTIONS, CUT, FILTERED, SCHEMA
from stages.caption.text_scores import CONTROL, REFUSAL, REPETITION, WORDS, text_scores
from stages.errors import Reason
from stages.params import CaptionParams
from stages.tasks import Row

NEAR_DUPLICATES, SIMILARITY = "near_duplicates", "similarity"
"""Names of scores: other clips of the partition with nearly the same caption; of pictures and text."""
_SHOWN_CHARACTERS = 80

Violation = Callable[[Row, Mapping[str, float], CaptionParams], str | None]


def judged(row: Row, params: CaptionParams, language: str | None) -> Row:
    """The row with the status and reason that its scores and the thresholds give.

    A row without a caption is unchanged where the clip has no window, and rejected where its answer was cut off or
    withheld before a word. Rows of versions without scores are scored here, from their text.

    Args:
        row: of `captions`, not failed.
        params: the thresholds.
        language: that the caption must be in, ISO 639-1; None for any.
    """
    if not row.get("caption"):
        return _row_without_words(row, params)
    if not row.get("scores"):
        scores, found = text_scores(row["caption"])
        row = {**row, "scores": scores, "language": found}
    scores = dict(row["scores"])
    for reason, violation in _CHECKS.items():
        detail = None if str(reason) in params.score_only else violation(row, scores, params)
        if detail is not None:
            return _rejected(row, reason, detail)
    told = row.get("language")
    if language and told and told != language and str(Reason.WRONG_LANGUAGE) not in params.score_only:
        return _rejected(
            row, Reason.WRONG_LANGUAGE, f"The caption must be in {language!r}, got {told!r}: {_shown(row)}."
        )
    return {**row, "status": "kept", "reason": None, "error": None}


def _rejected(row: Row, reason: Reason, detail: str) -> Row:
    return {**row, "status": "rejected", "reason": reason.value, "error": detail}


def _row_without_words(row: Row, params: CaptionParams) -> Row:
    for reason, violation in ((Reason.CUT_SHORT, _cut), (Reason.REFUSED, _refusal)):
        if detail := violation(row, {}, params):
            return _rejected(row, reason, detail)
    return row


def _shown(row: Row) -> str:
    text = row["caption"]
    return repr(text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}...")


def _cut(row: Row, scores: Mapping[str, float], params: CaptionParams) -> str | None:
    if row.get("finish_reason") != CUT:
        return None
    return (
        "The answer must end by itself, and ended at the largest number of tokens, also at twice as many: "
        f"...{(row.get('caption') or '')[-_SHOWN_CHARACTERS:]!r}. Raise caption.max_tokens, or ask for less."
    )


def _schema(row: Row, scores: Mapping[str, float], params: CaptionParams) -> str | None:
    if scores.get(SCHEMA, 1.0) >= 1:
        return None
    return f"The answer must be JSON of the prompt's schema: {row.get('problem')}. Got {_shown(row)}."


def _refusal(row: Row, scores: Mapping[str, float], params: CaptionParams) -> str | None:
    if row.get("finish_reason") == FILTERED:
        left = f": ...{row['caption'][-_SHOWN_CHARACTERS:]!r}" if row.get("caption") else " before its first word"
        return f"The answer must be whole, and a content filter of the server ended it{left}."
    return f"The answer must describe the clip, and refuses to: {_shown(row)}." if scores.get(REFUSAL) else None


def _control(row: Row, scores: Mapping[str, float], params: CaptionParams) -> str | None:
    found, most = scores.get(CONTROL, 0.0), params.max_control_characters
    if found <= most:
        return None
    return f"A caption must hold at most {most} control characters (caption.max_control_characters), got {found:g}."


def _length(row: Row, scores: Mapping[str, float], params: CaptionParams) -> str | None:
    words = scores.get(WORDS)
    if words is None or params.min_words <= words <= params.max_words:
        return None
    return (
        f"A caption must have {params.min_words} to {params.max_words} words (caption.min_words, caption.max_words), "
        f"got {words:g}: {_shown(row)}."
    )


def _repetition(row: Row, scores: Mapping[str, float], params: CaptionParams) -> str | None:
    share = scores.get(REPETITION, 0.0)
    if share <= params.max_repetition:
        return None
    return (
        f"At most {params.max_repetition:g} of a caption may repeat itself (caption.max_repetition), got {share:g}: "
        f"{_shown(row)}."
    )


def _contradiction(row: Row, scores: Mapping[str, float], params: CaptionParams) -> str | None:
    return row.get("problem") if scores.get(CONTRADICTIONS) else None


def _similarity(row: Row, scores: Mapping[str, float], params: CaptionParams) -> str | None:
    found, least = scores.get(SIMILARITY), params.min_similarity
    if found is None or least is None or found >= least:
        return None
    limit = f"at least {least:g} similar (caption.min_similarity)"
    return f"Caption and pictures must be {limit}, got {found:g}: {_shown(row)}."


def _near_duplicate(row: Row, scores: Mapping[str, float], params: CaptionParams) -> str | None:
    found, most = scores.get(NEAR_DUPLICATES), params.max_near_duplicates
    if found is None or most is None or found <= most:
        return None
    return (
        f"At most {most} other clips of a partition may have nearly the same caption (caption.max_near_duplicates), "
        f"got {found:g}: {_shown(row)}."
    )


_CHECKS: dict[Reason, Violation] = {
    Reason.CUT_SHORT: _cut,
    Reason.WRONG_SCHEMA: _schema,
    Reason.REFUSED: _refusal,
    Reason.CONTROL_CHARACTERS: _control,
    Reason.WRONG_LENGTH: _length,
    Reason.REPETITIVE: _repetition,
    Reason.CONTRADICTS_MEASUREMENT: _contradiction,
    Reason.LOW_SIMILARITY: _similarity,
    Reason.NEAR_DUPLICATE: _near_duplicate,
}


def has_words(row: Row) -> bool:
    """True of a row whose caption another model may be given: there is one, whole and no refusal."""
    scores: Mapping[str, Any] = row.get("scores") or {}
    is_good = (
        row.get("finish_reason") not in (CUT, FILTERED) and scores.get(SCHEMA, 1.0) >= 1 and not scores.get(REFUSAL)
    )
    return row["status"] == "kept" and bool(row.get("caption")) and is_good
