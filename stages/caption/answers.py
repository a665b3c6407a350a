"""Rows of a window's captions, made of what a captioner answered."""

import json
from collections.abc import Mapping
from typing import Any

from stages.caption.answer_text import without_thinking
from stages.caption.measurements import contradiction
from stages.caption.prompts import Prompt
from stages.caption.structured import parse_answer
from stages.caption.text_scores import text_scores
from stages.errors import Reason
from stages.models import Caption, replace_surrogates
from stages.tasks import Failed, Row

SCHEMA, CONTRADICTIONS, THINKING = "schema", "contradictions", "thinking_characters"
"""Names of scores: 1 where the answer fits its schema, else 0; 1 where it contradicts a measurement, else 0; characters
of thinking that were taken away."""
CUT, FILTERED = "length", "content_filter"
"""Values of ``finish_reason`` of an answer that ended at the largest number of tokens, and of one that a filter of the
server withheld or ended."""


def answer_rows(answer: Caption | Failed, prompt: Prompt, model: str, columns: Mapping[str, Any]) -> list[Row]:
    """The rows of one answer: one, or one for each caption of a structured answer. They are judged in the driver.

    Args:
        answer: of the captioner.
        prompt: what it was asked.
        model: its name, for messages.
        columns: of the clip; what was measured of it is compared where the prompt tells it.
    """
    if isinstance(answer, Failed):
        return [failed_row(answer)]
    text, thinking = without_thinking(replace_surrogates(answer.text))
    counted: Row = {
        "tokens": answer.tokens,
        "prompt_tokens": answer.prompt_tokens,
        "finish_reason": CUT if answer.is_cut else FILTERED if answer.is_filtered else "stop",
    }
    is_whole = not answer.is_cut and not answer.is_filtered
    if not text and is_whole:
        thought = f", but {thinking} characters of thinking" if thinking else ""
        return [
            failed_row(Failed(Reason.EMPTY_CAPTION, f"The caption must hold a word, got none from {model}{thought}."))
        ]
    if prompt.json_schema is not None and is_whole:
        rows = _structured_rows(text, prompt, columns)
    else:
        rows = [caption_row(text, None, columns if prompt.tells_measured else {})]
    for row in rows:
        row["scores"][THINKING] = float(thinking)
    # What an answer cost stands in the first of its rows, so that sums are right.
    return [{**rows[0], **counted}, *({**row, "finish_reason": counted["finish_reason"]} for row in rows[1:])]


def failed_row(failure: Failed) -> Row:
    """The row of a caption that there is none of."""
    return {"status": "failed", "reason": failure.reason.value, "error": replace_surrogates(failure.error)}


def caption_row(text: str, fields: Mapping[str, Any] | None, columns: Mapping[str, Any]) -> Row:
    """The row of one caption, with its scores.

    Args:
        text: the caption; empty for an answer that was cut, or withheld, before its first word.
        fields: the structured answer that it is part of.
        columns: what was measured of the clip; empty where it is not compared.
    """
    scores, language = text_scores(text)
    problem = contradiction(text, fields, columns)
    if columns:
        scores[CONTRADICTIONS] = float(problem is not None)
    return {
        "status": "kept",
        "caption": text or None,
        "language": language,
        "scores": scores,
        "problem": problem,
        "fields": None if fields is None else json.dumps(fields, ensure_ascii=False, sort_keys=True),
    }


def _structured_rows(text: str, prompt: Prompt, columns: Mapping[str, Any]) -> list[Row]:
    try:
        fields = parse_answer(text, prompt.json_schema or {})
    except ValueError as error:
        row = caption_row(text, None, {})
        return [{**row, "scores": {**row["scores"], SCHEMA: 0.0}, "problem": str(error)}]
    rows: list[Row] = []
    for name in prompt.captions:
        if isinstance(fields.get(name), str) and fields[name].strip():
            row = caption_row(fields[name].strip(), fields, columns if prompt.tells_measured else {})
            rows.append({**row, "scores": {**row["scores"], SCHEMA: 1.0}, "field": name})
    if not rows:
        row = caption_row(text, None, {})
        return [
            {**row, "scores": {**row["scores"], SCHEMA: 0.0}, "problem": f"the answer has none of {prompt.captions}"}
        ]
    return rows
