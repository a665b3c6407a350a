"""The caption phase: texts for each window of a clip, from frames of the frame store."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any, cast

import pyarrow as pa

from stages import registry
from stages.caption.checks import NEAR_DUPLICATES, judged
from stages.caption.language import known_languages, tell_language
from stages.caption.loading import LoadWindowsStage, no_windows
from stages.caption.measurements import MEASURED_COLUMNS
from stages.caption.near_duplicates import near_duplicates
from stages.caption.prompts import Prompt, prompt_of
from stages.caption.refining import RefineStage
from stages.caption.similarity import SimilarityStage, similarity_embedder
from stages.caption.stage import CaptionStage
from stages.caption.stored_answers import ANSWERS_KEY, answered_windows, first_rows, read_stored_answers
from stages.caption.windows import MIN_FRAMES, num_windows
from stages.errors import ParamsError, concerning
from stages.manifest import CommittedFile, ManifestRef
from stages.media import CLIP_TASK_FIELDS, FRAME_COLUMNS, FRAME_KEY_COLUMNS, clip_length, clip_task, with_clip
from stages.models import Captioner, ModelIdentity, construct
from stages.params import CaptionParams
from stages.phase import LATER_COLUMNS, Phase, canonical
from stages.pipeline import Pipeline
from stages.schemas import ASSETS
from stages.storage import digest
from stages.tasks import Failed, Rejected, Row, Task, VideoLength, VideoTask, Window

_DECODE_COLUMNS = ("width", "height", "num_restarts", "interlaced_share", "field_order")
"""What decoding a clip for its captioner depends on, and the frame store's key stands for."""
_SECOND_PARAMS = ("refine_model", "refine_prompt", "similarity_model")
"""Parameters of work that no answer of the first model depends on."""
_READ, _READ_FIRST = "read_by_captioner", "read_by_first_model"
"""Columns of items: what all models are told of the clip, as JSON, and what the first one is."""


class CaptionPhase(Phase[CaptionParams]):
    """Captions kept clips, and judges captions by their scores.

    Its row keys depend on the clip, its frames and the columns that the captioner and its prompts read.
    """

    inputs = ("filtered_clips",)
    key_columns = (*FRAME_KEY_COLUMNS, "start_frame", "end_frame", _READ)
    compared_columns = ("clip_id", "caption", "status")

    def __init__(self, params: CaptionParams, root: str) -> None:
        super().__init__(params, root)
        self._answered: dict[str, list[Row]] = {}

    def items(self, inputs: Mapping[str, pa.Table], output: ManifestRef) -> pa.Table:
        """One item per kept clip.

        Raises:
            ParamsError: the captioner reads a column that filtered_clips does not have, or nobody knows the language.
        """
        _check_language(self.params)
        clips = inputs["filtered_clips"]
        unknown = set(self._captioner.columns) - set(clips.column_names)
        if unknown:
            raise ParamsError(
                f"Captioner {self.params.captioner!r} must read columns of filtered_clips, got {sorted(unknown)}. "
                f"There are {clips.column_names}.",
                "caption.captioner",
            )
        columns = list(dict.fromkeys([*FRAME_COLUMNS, *self._told(self._all_prompts), *_DECODE_COLUMNS]))
        items = clips.select(columns)
        for name, prompts in ((_READ, self._all_prompts), (_READ_FIRST, self._prompts)):
            items = items.append_column(name, _as_json(clips, self._told(prompts)))
        return items

    def _told(self, prompts: Iterable[Prompt]) -> list[str]:
        """Columns that the captioner reads, and those that these prompts tell."""
        measured = MEASURED_COLUMNS if any(each.tells_measured for each in prompts) else ()
        return list(dict.fromkeys([*self._captioner.columns, *measured]))

    def task(self, item: Row, task_id: str) -> Task:
        """A task with one video and one clip; with the answers of its first model, where they are known."""
        made = clip_task({**item, ANSWERS_KEY: self._answers_key(item)}, task_id)
        known = self._answered.pop(task_id.split("/", 1)[1], None)
        return made if known is None else with_clip(made, replace(made.data.clip, windows=answered_windows(known)))

    def rows_without_work(
        self, output: ManifestRef, files: Collection[CommittedFile], items: Iterable[tuple[str, Row]]
    ) -> dict[str, list[Row]]:
        """The rows of clips that the first model has described, where no second model and no similarity is wanted.

        Where one is, the answers are kept for the tasks, so that the first model is not asked again.
        """
        if not files:
            return {}
        keys = {row_key: self._answers_key(item) for row_key, item in items}
        stored = read_stored_answers(self.storage(), output, files, set(keys.values()))
        found = {row_key: stored[key] for row_key, key in keys.items() if key in stored}
        if self.params.refine_model or self.params.similarity_model:
            self._answered.update(found)
            return {}
        return {row_key: first_rows(rows) for row_key, rows in found.items()}

    def _answers_key(self, item: Row) -> str:
        """Hash of all that the first model's answers depend on."""
        columns = [item.get(name) for name in (*FRAME_KEY_COLUMNS, "start_frame", "end_frame", _READ_FIRST)]
        return digest(self._answers_key_base, canonical(columns))

    @cached_property
    def _answers_key_base(self) -> str:
        work = {name: value for name, value in self.work_params().items() if name not in _SECOND_PARAMS}
        params = self.params
        return digest(params.phase, params.code_version, canonical(work), canonical(self._identity_of(self._prompts)))

    def cost(self, item: Row) -> float:
        """Windows, each of which is captioned; a clip too short for any is rejected."""
        length = clip_length(item)
        return num_windows(length.seconds, int(length.frames), self.params) or 0.1

    def video_length(self, item: Row) -> VideoLength:
        """Of the clip."""
        return clip_length(item)

    def pipeline(self) -> Pipeline:
        """Loading the pictures that the windows show, captioning each window, refining, comparing with the pictures."""
        identity = self._captioner.identity()
        waits_for_server = getattr(self._captioner, "waits_for_server", False)
        pinned: CaptionParams = getattr(self._captioner, "pinned_params", lambda: self.params)()
        stages: list[Any] = [
            LoadWindowsStage(self.root, self.params),
            CaptionStage(
                pinned,
                identity,
                self._prompts,
                waits_for_server=waits_for_server,
                keeps_frames=bool(self.params.similarity_model),
            ),
        ]
        if self._refine_prompt is not None:
            stages.append(RefineStage(self.params, self._refine_prompt))
        if self._similarity_identity is not None:
            stages.append(SimilarityStage(self.params, self._similarity_identity))
        return Pipeline("caption", stages, collect=partial(_rows, self.params), provides=CLIP_TASK_FIELDS)

    def identity(self) -> dict[str, Any]:
        """The captioner's model and the hash of its weights; of a user's own captioner the version of its code too.

        And the prompts, where they are files: what these say may change under the same id.
        """
        named = self._identity_of(self._all_prompts)
        if self._similarity_identity is not None:
            named["similarity"] = self._similarity_identity.as_dict()
        return named

    def _identity_of(self, prompts: Iterable[Prompt]) -> dict[str, Any]:
        """Of the captioner, and of those of the prompts that are files."""
        with concerning("caption.captioner"):
            identity = self._captioner.identity()
            named = {**identity.as_dict(), **registry.code_identity("captioner", self.params.captioner)}
        texts = [value for _, value in self.params.asked()]
        files = [each.id for each in prompts if each.text not in texts and each.id]
        return {**named, "prompts": files} if files else named

    def decide(self, row: Row) -> Row:
        """The row, kept or rejected by its own scores; see `stages.caption.checks`."""
        scores = {name: value for name, value in dict(row.get("scores") or {}).items() if name != NEAR_DUPLICATES}
        return judged({**row, "scores": scores or None}, self.params, self._language_of(row))

    def compare(self, rows: pa.Table) -> dict[str, list[Row]]:
        """Other clips with nearly the same caption, of the captions that are kept.

        Captioners that read no prompt are not asked: their sentences are made alike.
        """
        if not self._captioner.reads_prompt and self._refine_prompt is None:
            return {}
        listed = rows.to_pylist()
        kept = [row for row in listed if row["status"] == "kept" and row["caption"] is not None]
        counts = iter(near_duplicates([row["caption"] for row in kept], [row["clip_id"] for row in kept]))
        found: dict[str, list[Row]] = {}
        for row in listed:
            is_asked = row["status"] == "kept" and row["caption"] is not None
            found.setdefault(row["row_key"], []).append({NEAR_DUPLICATES: next(counts) if is_asked else 0})
        return {key: each for key, each in found.items() if any(one[NEAR_DUPLICATES] for one in each)}

    def decide_compared(self, row: Row, found: Row) -> Row:
        """The row with the number of its near-duplicates, and what follows from it."""
        if not found[NEAR_DUPLICATES]:
            return row
        scores = {**dict(row["scores"]), NEAR_DUPLICATES: float(found[NEAR_DUPLICATES])}
        return judged({**row, "scores": scores}, self.params, self._language_of(row))

    def outcome_row(self, item: Row, outcome: Rejected | Failed) -> Row:
        """The row of a clip without windows: rejected if the clip is too short, even if loading its frames failed."""
        num_frames = item["end_frame"] - item["start_frame"]
        if num_frames < MIN_FRAMES:
            outcome = no_windows(num_frames)
        return super().outcome_row(item, outcome)

    def _language_of(self, row: Row) -> str | None:
        """The language that a caption must be in; None for any."""
        if self.params.language != "auto":
            return None if self.params.language == "any" else self.params.language
        return self._languages.get(row.get("prompt_id") or "")

    @cached_property
    def _languages(self) -> dict[str, str | None]:
        """By id of a prompt, the language that it names, else that it is in."""
        return {each.id: each.language or tell_language(each.text).language for each in self._all_prompts}

    @cached_property
    def _captioner(self) -> Captioner:
        with concerning("caption.captioner"):
            return construct("captioner", self.params.captioner, self.params)

    @cached_property
    def _prompts(self) -> Sequence[Prompt]:
        """What the captioner is asked; an empty prompt for one that reads none."""
        asked = [prompt_of(value, param) for param, value in self.params.asked()]
        if not self._captioner.reads_prompt:
            return [Prompt("", "")]
        if len({each.id for each in asked}) < len(asked):
            raise ParamsError(
                f"caption.prompts must name each prompt once, got {self.params.prompts}.", "caption.prompts"
            )
        return asked

    @cached_property
    def _refine_prompt(self) -> Prompt | None:
        if not self.params.refine_model:
            return None
        return prompt_of(self.params.refine_prompt, "caption.refine_prompt")

    @cached_property
    def _similarity_identity(self) -> ModelIdentity | None:
        if not self.params.similarity_model:
            return None
        with concerning("caption.similarity_model"):
            return similarity_embedder(self.params).identity()

    @property
    def _all_prompts(self) -> Sequence[Prompt]:
        return [*self._prompts, *([self._refine_prompt] if self._refine_prompt else [])]


def _check_language(params: CaptionParams) -> None:
    known = ["auto", "any", *known_languages()]
    if params.language not in known:
        raise ParamsError(
            f"caption.language must be one of {', '.join(known)}, got {params.language!r}: no other language can be "
            "told from the rest. Set any.",
            "caption.language",
        )


def _as_json(table: pa.Table, columns: Sequence[str]) -> pa.Array:
    """Each row's values of some columns."""
    # A selection of no columns has no row count in Arrow.
    rows = table.select(columns).to_pylist() if columns else [{}] * len(table)
    told = ({name: each for name, each in row.items() if each is not None or name not in LATER_COLUMNS} for row in rows)
    return pa.array([json.dumps(row, sort_keys=True, default=str) for row in told], pa.string())


def _rows(params: CaptionParams, task: Task) -> list[Row]:
    """The rows of all captions of all windows of the clip."""
    clip = cast(VideoTask, task).data.clip
    copied: Row = {name: clip.columns.get(name) for name in ASSETS["captions"].schema.names}
    return [
        {**copied, **_window_columns(window), "caption_index": index, "cost": _cost(params, row), **row}
        for window in clip.windows
        for index, row in enumerate(window.captions)
    ]


def _window_columns(window: Window) -> Row:
    return {
        "window_index": window.index,
        "window_start_frame": window.start_frame,
        "window_end_frame": window.end_frame,
        "window_start_s": window.start_s,
        "window_end_s": window.end_s,
        "num_shown_frames": len(window.pictures),
        "reason": None,
        "error": None,
    }


def _cost(params: CaptionParams, row: Row) -> float | None:
    """What the row's tokens cost, by the prices of the model that wrote it; None where either is not known."""
    tokens, prompt_tokens = row.get("tokens"), row.get("prompt_tokens")
    price_input, price_output = params.price_input, params.price_output
    if row.get("refined_from"):
        price_input, price_output = params.refine_price_input, params.refine_price_output
    if tokens is None or prompt_tokens is None or not (price_input or price_output):
        return None
    return (prompt_tokens * price_input + tokens * price_output) / 1e6
