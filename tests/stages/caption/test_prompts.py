"""Prompts by id and as texts, schemas, and what a launch cannot name."""

import json
from pathlib import Path
from typing import Any

import pytest

from stages.caption.prompts import PROMPTS_VARIABLE, prompt_ids, prompt_of
from stages.caption.structured import check_schema, parse_answer
from stages.errors import ParamsError
from stages.storage import digest

GOOD: dict[str, Any] = {
    "subject": "a dog",
    "action": "runs",
    "scene": "a park",
    "camera_move": "static",
    "shot_size": "wide shot",
    "angle": "eye level",
    "light": "daylight",
    "style": "live action",
    "on_screen_text": "",
    "long_caption": "A dog runs through a park in daylight.",
    "short_caption": "A dog runs in a park.",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(PROMPTS_VARIABLE, str(tmp_path))
    return tmp_path


def test_shipped_prompts_are_read_and_tell_what_was_measured() -> None:
    assert set(prompt_ids()) == {"short", "describe", "dense", "training", "refine", "enhance"}
    for name in prompt_ids():
        prompt = prompt_of(name, "caption.prompt")
        assert prompt.id.startswith(f"{name}@")
        assert prompt.tells_measured
        assert prompt.language == "en"
        assert "---" not in prompt.text
        assert "- pans" in prompt.filled(measured="- pans")
    assert prompt_of("training", "caption.prompt").captions == ("long_caption", "short_caption")


def test_a_text_is_its_own_prompt() -> None:
    prompt = prompt_of("What moves? {measured}", "caption.prompt")
    assert (prompt.id, prompt.filled(measured="M")) == (digest("What moves? {measured}"), "What moves? M")
    assert prompt.json_schema is None


def test_a_caption_with_braces_is_not_filled_in_again() -> None:
    assert prompt_of("Say: {caption} {measured}", "p").filled(measured="M", caption="{measured}") == "Say: {measured} M"


def test_own_prompts_come_first_and_have_an_id_of_their_contents(folder: Path) -> None:
    shipped = prompt_of("short", "caption.prompt")
    (folder / "short.md").write_text("Say it shortly.")
    first = prompt_of("short", "caption.prompt")
    (folder / "short.md").write_text("---\nlanguage: de\nmax_tokens: 9\n---\nSag es kurz.\n")
    second = prompt_of("short", "caption.prompt")
    assert (first.text, second.text, second.language, second.max_tokens) == ("Say it shortly.", "Sag es kurz.", "de", 9)
    assert len({shipped.id, first.id, second.id}) == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("---\nschema: none.json\ncaptions: [a]\n---\nx", "must lie beside it, and none.json does not"),
        ("---\nschema: training.json\n---\nx", r"captions in own\.md must name fields of its schema, got \[\]"),
        ("---\nschema: training.json\ncaptions: [nothing]\n---\nx", r"got \['nothing'\]"),
        ("---\nmodel: x\n---\nx", r"may hold .*, got \['model'\]"),
        ("---\n- a\n---\nx", "got .'no mapping'."),
        ("---\na: [\n---\nx", "must be YAML"),
    ],
)
def test_prompt_rejects_a_head_that_is_none(folder: Path, content: str, message: str) -> None:
    (folder / "own.md").write_text(content)
    with pytest.raises(ParamsError, match=message):
        prompt_of("own", "caption.prompt")


@pytest.mark.parametrize("value", ["descrbe", "passwd", "own"])
def test_prompt_rejects_an_unknown_id(value: str) -> None:
    with pytest.raises(ParamsError, match=rf"one of dense, describe, .* got '{value}'"):
        prompt_of(value, "caption.prompt")


def test_a_path_is_a_text_and_never_read(tmp_path: Path) -> None:
    (tmp_path / "secret.md").write_text("secret")
    for value in (str(tmp_path / "secret.md"), "../secret", "/etc/passwd"):
        assert prompt_of(value, "caption.prompt").text == value


def test_schema_of_another_folder_is_not_read(folder: Path) -> None:
    (folder.parent / "outside.json").write_text('{"type": "object"}')
    (folder / "own.md").write_text("---\nschema: ../outside.json\ncaptions: [a]\n---\nx")
    with pytest.raises(ParamsError, match="must lie beside it"):
        prompt_of("own", "caption.prompt")


def test_answer_that_fits_the_schema_is_parsed() -> None:
    schema = prompt_of("training", "caption.prompt").json_schema or {}
    assert parse_answer(json.dumps(GOOD), schema) == GOOD
    assert parse_answer(f"```json\n{json.dumps(GOOD, indent=1)}\n```", schema) == GOOD


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("A dog runs.", "Expecting value"),
        (json.dumps(GOOD)[:-5], "Unterminated|Expecting"),
        ("[1]", "answer must be of type object"),
        (json.dumps({**GOOD, "camera_move": "dolly zoom"}), r"answer\.camera_move must be one of"),
        (json.dumps({**GOOD, "long_caption": "  "}), r"answer\.long_caption must have 1 to any number of characters"),
        (json.dumps({**GOOD, "mood": "calm"}), r"no other keys .* got \['mood'\]"),
        (json.dumps({key: value for key, value in GOOD.items() if key != "light"}), r"must have \['light'\]"),
        (json.dumps({**GOOD, "subject": 3}), r"answer\.subject must be of type string, got 3"),
        ("[" * 100_000, "nested too deeply|too deep|recursion"),
    ],
)
def test_answer_rejects_what_does_not_fit(answer: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_answer(answer, prompt_of("training", "caption.prompt").json_schema or {})


@pytest.mark.parametrize(
    "schema",
    [
        [],
        {"type": "string"},
        {"type": "object", "properties": {"a": {"type": "date"}}},
        {"type": "object", "anyOf": []},
    ],
)
def test_schema_rejects_what_would_not_be_checked(schema: Any) -> None:
    with pytest.raises(ValueError, match=r"must|may"):
        check_schema(schema)


@pytest.mark.parametrize(
    ("schema", "value", "fits"),
    [
        ({"type": "array", "items": {"type": "integer"}}, [1, 2], True),
        ({"type": "array", "items": {"type": "integer"}}, [1, "2"], False),
        ({"type": "integer"}, True, False),
        ({"type": "number"}, 1.5, True),
        ({"type": "string", "maxLength": 3}, "abcd", False),
    ],
)
def test_answer_checks_values(schema: dict[str, Any], value: Any, fits: bool) -> None:
    whole = {"type": "object", "properties": {"a": schema}}
    if fits:
        assert parse_answer(json.dumps({"a": value}), whole) == {"a": value}
    else:
        with pytest.raises(ValueError, match=r"answer\.a"):
            parse_answer(json.dumps({"a": value}), whole)
