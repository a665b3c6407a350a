"""Prompts: a text, or a file that is named by its id.

    describe.md                       shipped in `data`, or in the folder that CURATOR_PROMPTS names
    ---
    about: One or two plain sentences.
    schema: training.json             the answer is JSON of this schema, a file beside it
    captions: [long_caption]          fields of the answer that are captions, a row each
    language: en                      what captions must be in, see caption.language
    max_tokens: 512                   in place of caption.max_tokens
    ---
    Describe what happens. What was measured: {measured}

A launch from a web page may name prompts too, so they are named by id and never by path: no other file can be sent to a
server.
"""

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from stages.caption.structured import check_schema
from stages.errors import ParamsError, did_you_mean
from stages.storage import digest

PROMPTS_VARIABLE = "CURATOR_PROMPTS"
"""Environment variable of the driver with a folder of prompts, which come before the shipped ones of the same id."""
SHIPPED = Path(__file__).parent / "data"
MEASURED, CAPTION = "{measured}", "{caption}"
"""Stand in a prompt for what was measured of the clip, and for the caption to refine."""
_ID = re.compile(r"[a-z0-9][a-z0-9_-]*")
_FRONT_MATTER = re.compile(r"\A---\n(.*?)\n---\n(.*)\Z", re.DOTALL)
_KEYS = {"about", "schema", "captions", "language", "max_tokens"}


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model is asked.

    Attributes:
        id: for rows: of a file its name and a hash of its contents, else a hash of the text.
        text: with `MEASURED` and `CAPTION` in it.
        json_schema: of the answer; None for plain words.
        captions: fields of such an answer that are captions.
        language: of captions, ISO 639-1; None where the file names none.
        max_tokens: of the longest answer; 0 for caption.max_tokens.
    """

    id: str
    text: str
    json_schema: Mapping[str, Any] | None = None
    captions: tuple[str, ...] = ()
    language: str | None = None
    max_tokens: int = 0

    @property
    def tells_measured(self) -> bool:
        """True if the model is told what was measured."""
        return MEASURED in self.text

    def filled(self, *, measured: str = "", caption: str = "") -> str:
        """The text to send."""
        # The caption last: a model's words may hold braces.
        return self.text.replace(MEASURED, measured).replace(CAPTION, caption)


def prompt_of(value: str, param: str) -> Prompt:
    """The prompt that a parameter means: the file with this id, else the value itself as a text.

    Args:
        value: of the parameter; an id is one word of small letters, digits, "-" and "_".
        param: its name, for messages.

    Raises:
        ParamsError: there is no prompt with this id, or its file is no prompt.
    """
    if not _ID.fullmatch(value.strip()):
        return Prompt(digest(value), value)
    name = value.strip()
    path = next((path for path in (folder / f"{name}.md" for folder in _folders()) if path.is_file()), None)
    if path is None:
        known = prompt_ids()
        raise ParamsError(
            f"{param} must be the id of a prompt, one of {', '.join(known)}, or a text of several words, got "
            f"{value!r}.{did_you_mean(name, known)} Files of your own, ID.md, belong in the folder that "
            f"{PROMPTS_VARIABLE} names.",
            param,
        )
    return _read(path, param)


def prompt_ids() -> list[str]:
    """Ids of all prompts that may be named."""
    return sorted({path.stem for folder in _folders() if folder.is_dir() for path in folder.glob("*.md")})


def _folders() -> Iterable[Path]:
    own = os.environ.get(PROMPTS_VARIABLE)
    return [*([Path(own)] if own else []), SHIPPED]


def _read(path: Path, param: str) -> Prompt:
    content = path.read_text(encoding="utf-8")
    found = _FRONT_MATTER.match(content)
    try:
        settings = yaml.safe_load(found.group(1)) if found else {}
    except yaml.YAMLError as error:
        raise ParamsError(f"{param}: the head of {path.name} must be YAML, got {error}.", param) from error
    unknown = set(settings) - _KEYS if isinstance(settings, dict) else {"no mapping"}
    if unknown:
        raise ParamsError(
            f"{param}: the head of {path.name} may hold {sorted(_KEYS)}, got {sorted(map(str, unknown))}.", param
        )
    text = (found.group(2) if found else content).strip()
    schema = _schema(path, settings.get("schema"), param)
    captions = tuple(settings.get("captions") or ())
    missing = set(captions) - set((schema or {}).get("properties", {}))
    if missing or (schema is not None and not captions):
        raise ParamsError(
            f"{param}: captions in {path.name} must name fields of its schema, got {list(captions)}.", param
        )
    mark = digest(content, json.dumps(schema, sort_keys=True))[:8]
    max_tokens = int(settings.get("max_tokens") or 0)
    return Prompt(f"{path.stem}@{mark}", text, schema, captions, settings.get("language"), max_tokens)


def _schema(path: Path, name: str | None, param: str) -> Mapping[str, Any] | None:
    if name is None:
        return None
    places = [folder / Path(name).name for folder in (path.parent, SHIPPED)]
    place = next((each for each in places if each.is_file()), None)
    if place is None:
        raise ParamsError(f"{param}: the schema of {path.name} must lie beside it, and {name} does not.", param)
    try:
        schema = json.loads(place.read_text(encoding="utf-8"))
        check_schema(schema)
    except ValueError as error:
        raise ParamsError(f"{param}: {place.name} must be a JSON schema of an object: {error}.", param) from error
    return schema
