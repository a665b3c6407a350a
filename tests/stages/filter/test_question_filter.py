"""Questions answered by yes or no: probabilities by arithmetic on what was answered, and what is asked again."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stages import retry
from stages.errors import ParamsError
from stages.filter.phase import FilterPhase, named_filters
from stages.filter.question_filter import QuestionFilter
from stages.manifest import ManifestRef, read_manifest
from stages.models import put_question
from stages.models.yes_no import probability_of_text, probability_of_yes
from stages.params import CAPTION_API_KEY_VARIABLE, ExecutorParams, FilterParams
from stages.phase import PhaseReport
from stages.run import LaunchPolicy, model_needs, open_session
from stages.tasks import Row
from tests.clips import PARTITION, WORKER, clip_of, clip_row, commit_rows
from tests.stages.filter.synthetic_clips import ordinary
from tests.stages.models.caption_server import Answer, CaptionServer, make_checkpoint, running_caption_server
from tests.stages.models.vision_language_checkpoints import make_checkpoint as make_vision_language
from tests.stages.models.vision_language_checkpoints import qwen2_5_vl
from tests.videos import write_video

RED, LOGO = "Is it red?", "Is there a logo?"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture
def server(weights: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CaptionServer]:
    monkeypatch.delenv(CAPTION_API_KEY_VARIABLE, raising=False)
    with running_caption_server(weights) as server, retry.using(retry.Backoff(2, 0.001, 0.002)):
        yield server


def params(**values: Any) -> FilterParams:
    given = {"filters": ["duration", "ask"], "ask_questions": {"red": RED}, "ask_model": "tiny", **values}
    return FilterParams.model_validate({**given, "max_failed_fraction": 1})


def run(root: Path, values: FilterParams) -> tuple[PhaseReport, Row]:
    """Filter one clip; the report, and its row."""
    video = root / "a.mp4"
    if not video.exists():
        write_video(video, ordinary() * 3)
    clips = commit_rows(root, "clips", [clip_row(video, 0, 24)])
    output = ManifestRef(str(root), "filtered_clips", PARTITION)
    with open_session(ExecutorParams(mode="local", max_tries=1)) as session:
        report = session.run_phase(values, {"clips": [clips]}, [output])[PARTITION]
    return report, read_manifest(str(root), "filtered_clips").to_pylist()[0]


def answer(content: str, *places: dict[str, float]) -> bytes:
    """A completion, with the probabilities of tokens at each of its places, the one that was said first."""
    listed = [
        [{"token": token, "logprob": math.log(probability)} for token, probability in place.items()] for place in places
    ]
    choice: dict[str, Any] = {"message": {"content": content}, "finish_reason": "length"}
    if places:
        choice["logprobs"] = {"content": [{**place[0], "top_logprobs": place} for place in listed]}
    return json.dumps({"choices": [choice]}).encode()


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (answer("Yes", {"Yes": 0.6, "No": 0.2, " yes": 0.1, "Maybe": 0.1}), 0.7 / 0.9),
        (answer("\nNo.", {"\n": 0.9, "Yes": 0.05}, {"No": 0.75, "Yes": 0.25}), 0.25),
        (answer("**no", {"**": 0.8, "Hm": 0.1}, {"no": 0.5, "yes": 0.1, "NO": 0.2}), 0.1 / 0.8),
        (answer("Yes, there is"), 1.0),
        (answer("no."), 0.0),
    ],
)
def test_score_is_the_probability_of_yes(server: CaptionServer, tmp_path: Path, said: bytes, expected: float) -> None:
    server.default = said
    _, row = run(tmp_path, params(ask_base_url=server.url, ask_pictures=2))
    assert dict(row["scores"])["ask_red"] == pytest.approx(expected)
    (body,) = server.requests
    assert (body["logprobs"], body["top_logprobs"], body["temperature"]) == (True, 20, 0)
    kinds = [part["type"] for part in body["messages"][0]["content"]]
    assert kinds == ["image_url", "image_url", "text"]
    assert body["messages"][0]["content"][-1]["text"] == put_question(RED)


def test_server_without_log_probabilities_is_asked_for_the_word(server: CaptionServer, tmp_path: Path) -> None:
    server.script.append(Answer(b'{"detail": "Unsupported fields: logprobs"}', {}, 422))
    server.default = answer("No.")
    _, row = run(tmp_path, params(ask_base_url=server.url))
    assert dict(row["scores"])["ask_red"] == 0
    assert ["logprobs" in body for body in server.requests] == [True, False]


def test_clip_fails_where_the_answer_is_neither(server: CaptionServer, tmp_path: Path) -> None:
    server.default = answer("Perhaps", {"Perhaps": 0.9, "It": 0.1})
    _, row = run(tmp_path, params(ask_base_url=server.url))
    assert (row["status"], row["reason"]) == ("failed", "stage_error")
    assert "must answer yes or no, got 'Perhaps'" in row["error"]


def test_question_that_is_new_is_asked_alone_and_a_threshold_asks_nothing(
    server: CaptionServer, tmp_path: Path
) -> None:
    server.default = answer("Yes", {"Yes": 0.8, "No": 0.2})
    first, row = run(tmp_path, params(ask_base_url=server.url))
    assert (first.computed, row["status"], len(server.requests)) == (1, "kept", 1)
    both = {"ask_base_url": server.url, "ask_questions": {"red": RED, "logo": LOGO}}
    second, row = run(tmp_path, params(**both))
    asked = [body["messages"][0]["content"][-1]["text"] for body in server.requests]
    assert asked == [put_question(RED), put_question(LOGO)]
    assert (second.computed, second.counters["questions"]) == (1, 1)
    assert dict(row["scores"]) == pytest.approx({"duration": 1.0, "ask_red": 0.8, "ask_logo": 0.8}, abs=0.1)
    third, row = run(tmp_path, params(**both, ask_max={"logo": 0.5}, ask_min={"red": 0.1}))
    assert (third.computed, third.redecided, len(server.requests)) == (0, 1, 2)
    assert (row["status"], row["reason"]) == ("rejected", "ask_logo")
    assert row["error"] == "ask_logo must be at most 0.5 (filter.ask_max.logo), got 0.8."
    assert dict(row["thresholds"])["ask_min.red"] == 0.1
    run(tmp_path, params(**{**both, "ask_questions": {"red": "Is all of it red?", "logo": LOGO}}))
    assert len(server.requests) == 3


def test_probability_of_a_model_in_process_is_that_of_its_first_token(tmp_path: Path) -> None:
    family = make_vision_language(tmp_path / "model", qwen2_5_vl)
    values = params(ask_captioner="transformers", ask_model=str(tmp_path / "model"), ask_pictures=2)
    ((_, _), (_, made)) = named_filters(values)
    assert isinstance(made, QuestionFilter)
    made.setup(WORKER)
    clip = clip_of(ordinary()[:2] * 2)
    request = made.request(clip)
    prepared = made.captioner._model.windows.prepare(
        request.images, request.times_s, request.duration_s, request.prompt
    )
    with torch.inference_mode():
        logits = family.model(**prepared.text, **prepared.pictures).logits[0, -1]
    vocabulary = made.captioner._model.windows.tokenizer.get_vocab()
    ids = {
        word: [id for token, id in vocabulary.items() if token.strip("\u0120").lower() == word]
        for word in ("yes", "no")
    }
    assert all(ids.values())
    with torch.no_grad():  # a random network says neither: its words for both are made likely
        family.model.lm_head.weight[ids["yes"] + ids["no"]] *= 8
        made.captioner._model._model.lm_head.weight.copy_(family.model.lm_head.weight)
        logits = family.model(**prepared.text, **prepared.pictures).logits[0, -1]
    likely = set(logits.topk(20).indices.tolist())
    sums = {word: sum(float(logits.softmax(-1)[id]) for id in ids[word] if id in likely) for word in ids}
    assert sums["yes"] > 0
    assert sums["no"] > 0
    assert made.score(clip) == pytest.approx(sums["yes"] / (sums["yes"] + sums["no"]), rel=1e-4)


def test_probability_needs_a_word_that_is_yes_or_no() -> None:
    assert probability_of_yes([("\u2581Yes", 0.2), ('"no', 0.6)]) == pytest.approx(0.25)
    assert probability_of_yes([("Yesterday", 0.5), ("none", 0.5)]) is None
    assert [probability_of_text(text) for text in ("Yes!", "NO - never", "Note", "")] == [1.0, 0.0, None, None]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"ask_questions": {}}, "ask_questions and ask_model must be set"),
        ({"ask_model": ""}, "ask_questions and ask_model must be set"),
        ({"ask_questions": {"Is it red?": "?"}}, "ask_questions must have names of small letters, digits and _"),
        ({"ask_min": {"blue": 0.5}}, "ask_min must name questions of ask_questions, got blue"),
        ({"ask_max": {"red": 5}}, r"ask_max\.red must be a probability, 0 to 1, got 5"),
        ({"ask_base_url": "ftp://a"}, "base_url must be an http or https URL"),
    ],
)
def test_questions_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        params(**values)


def test_captioner_that_answers_no_questions_is_refused() -> None:
    with pytest.raises(
        ParamsError, match=r"ask_captioner must have a method yes_probabilities, and 'measured' has none"
    ):
        FilterPhase(params(ask_captioner="measured"), "/nowhere").identity()


def test_launch_may_not_send_the_key_to_another_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CAPTION_API_KEY_VARIABLE, "secret")
    elsewhere = params(ask_base_url="http://evil.example/v1")
    with pytest.raises(ParamsError, match=r"filter\.ask_base_url: a launch may send the key"):
        LaunchPolicy().check([elsewhere])
    LaunchPolicy(caption_hosts=frozenset({"evil.example"})).check([elsewhere])
    LaunchPolicy().check([elsewhere.model_copy(update={"filters": ["duration"]})])


def test_models_that_are_needed_include_the_one_that_is_asked() -> None:
    (need,) = model_needs([params(ask_base_url="http://there:1/v1")])
    assert (need.phase, need.model, need.note) == ("filter", "tiny", "on the server http://there:1/v1")


def test_what_is_asked_of_pictures_is_their_times_too() -> None:
    ((_, made),) = named_filters(params(filters=["ask"], ask_pictures=2))
    request = made.request(clip_of([np.zeros((8, 8, 3), np.uint8)] * 4))  # pyrefly: ignore[missing-attribute]
    assert (request.times_s, request.duration_s) == ((0.5, 1.5), 2.0)
