"""The captioner behind a server, against a real one on this machine: what it sends, and every way to fail."""

import email.utils
import gzip
import json
import re
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages import heartbeat
from stages.errors import ParamsError, Reason
from stages.models.captioner import Caption, CaptionInput
from stages.models.openai_captioner import OpenAICaptioner
from stages.params import CAPTION_API_KEY_VARIABLE, CaptionParams
from stages.storage import digest
from stages.tasks import Failed
from tests.clips import WORKER, clip_row
from tests.stages.caption.test_phase import captions, run
from tests.stages.caption.test_prompts import GOOD
from tests.stages.models.caption_server import (
    WORDS,
    Answer,
    CaptionServer,
    Step,
    picture,
    running_caption_server,
)
from tests.videos import three_shots

LENIENT = {"score_only": ["wrong_length", "repetitive", "wrong_language"]}
"""The words of the small model are noise."""


def windows(count: int) -> list[CaptionInput]:
    """Windows of two pictures, each of a grey of its own."""
    return [CaptionInput(np.full((2, 36, 64, 3), 20 * number, np.uint8), 2.0, {}) for number in range(count)]


def request_captions(url: str, count: int = 1, **params: Any) -> list[Caption | Failed]:
    captioner = OpenAICaptioner(CaptionParams(captioner="openai", model="tiny", base_url=url, **params))
    captioner.setup(WORKER)
    try:
        return captioner.caption(windows(count))
    finally:
        captioner.close()


def test_caption_sends_pictures_and_prompt(server: CaptionServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CAPTION_API_KEY_VARIABLE, "secret")
    (caption,) = request_captions(server.url, prompt="What moves?", max_tokens=5, temperature=0.5)
    assert isinstance(caption, Caption)
    assert set(caption.text.split()) <= set(WORDS)
    assert 1 <= (caption.tokens or 0) <= 5
    (body,) = server.requests
    assert (body["model"], body["max_tokens"], body["temperature"]) == ("tiny", 5, 0.5)
    first, second, text = body["messages"][0]["content"]
    assert text == {"type": "text", "text": "What moves?"}
    assert picture(first["image_url"]["url"]).max() == picture(second["image_url"]["url"]).max() == 0
    assert server.authorizations == ["Bearer secret"]


def test_caption_has_several_requests_in_flight_and_keeps_their_order(server: CaptionServer) -> None:
    server.barrier = threading.Barrier(3)  # passes only where three requests are there at once
    together = request_captions(server.url, 6, requests_in_flight=3)
    server.barrier = None
    assert together == request_captions(server.url, 6, requests_in_flight=1)
    assert len({caption.text for caption in together if isinstance(caption, Caption)}) > 1


@pytest.mark.parametrize(
    "script",
    [
        [500],
        [429, 503],
        [500, 502, 503],
        [408, 425],
        [b'{"choices": []}', b'{"choices": null}', b'{"object": "chat.completion"}'],
        [b'{"choices": [{"message": null}]}', b'{"choices": [{"mess'],
        [b'{"choices": [{"message": {"content": null}}]}', b'{"choices": [{"message": {"content": " "}}]}'],
        [b'{"error": {"code": 429, "message": "slow down"}}', b'{"error": {"message": "overloaded"}}'],
        [b'{"error": "overloaded"}', b'{"error": {"code": "503"}, "choices": null}'],
        [Answer(b"no gzip", {"Content_Encoding": "gzip"}), Answer(b'{"choices', {"Content_Length": "5000"})],
        [b'{"choices": [{"message": {"content": "caf\xe9"}}]}'],
    ],
)
def test_caption_tries_again_what_may_pass(server: CaptionServer, script: list[Step]) -> None:
    heartbeat.take_counts()
    server.script.extend(script)
    (caption,) = request_captions(server.url)
    assert isinstance(caption, Caption)
    assert heartbeat.take_counts()["request_retries"] == len(script) == len(server.requests) - 1


def test_caption_fails_in_passing_where_the_server_stays_broken(server: CaptionServer) -> None:
    server.script.extend([500] * 4)
    (failed,) = request_captions(server.url)
    assert isinstance(failed, Failed)
    assert failed.reason is Reason.SERVICE
    assert "did not in 4 tries: status 500" in failed.error
    assert "the server says 500" in failed.error


def test_caption_fails_in_passing_where_nobody_listens(server: CaptionServer) -> None:
    (failed,) = request_captions("http://127.0.0.1:9/v1")
    assert isinstance(failed, Failed)
    assert failed.reason is Reason.SERVICE
    assert "Errno 111" in failed.error


def test_caption_gives_up_a_slow_answer(server: CaptionServer) -> None:
    may_answer = threading.Event()
    server.script.append(may_answer)
    (caption,) = request_captions(server.url, request_timeout_s=2)
    may_answer.set()
    assert isinstance(caption, Caption)
    assert len(server.requests) == 2


def test_caption_gives_up_an_answer_that_drips(server: CaptionServer) -> None:
    """Each byte comes well inside the limit, the whole does not: some 5000 bytes, 20 ms each."""
    pause_s, server.num_trailing_spaces = 0.02, 5000
    server.script.extend([pause_s] * 4)
    started = time.monotonic()
    (failed,) = request_captions(server.url, request_timeout_s=0.2)
    assert time.monotonic() - started < pause_s * server.num_trailing_spaces / 4, (
        "four tries take less than a part of one answer"
    )
    assert isinstance(failed, Failed)
    assert failed.reason is Reason.SERVICE
    assert "did not in 4 tries: the whole answer must arrive within 0.2 s" in failed.error


def test_caption_takes_an_answer_that_drips_in_time(server: CaptionServer) -> None:
    server.script.append(0.001)
    (caption,) = request_captions(server.url, request_timeout_s=60)
    assert isinstance(caption, Caption)
    assert len(server.requests) == 1


@pytest.mark.parametrize("tokens", [b'"12"', b"1.5", b"true", b"-1", b"1e3", b"99999999999999999999", b"null", b"[3]"])
def test_caption_counts_no_tokens_where_the_server_sends_no_number(server: CaptionServer, tokens: bytes) -> None:
    server.script.append(
        b'{"choices": [{"message": {"content": "a cat"}}], "usage": {"completion_tokens": %b}}' % tokens
    )
    assert request_captions(server.url) == [Caption("a cat", None)]


@pytest.mark.parametrize(
    ("step", "reason", "message"),
    [
        (400, Reason.STAGE_ERROR, "status 400: .*the server says 400"),
        (401, Reason.SERVICE, "the server says 401"),
        (
            b'{"error": {"code": 400, "message": "too large"}}',
            Reason.STAGE_ERROR,
            "an error inside the answer: .*too large",
        ),
        (b'{"error": {"code": 401}}', Reason.SERVICE, "an error inside the answer"),
        (413, Reason.STAGE_ERROR, "status 413"),
        (307, Reason.SERVICE, "status 307"),
        (b"[]", Reason.SERVICE, "must answer with a chat completion"),
        (b" " * (9 << 20), Reason.SERVICE, "at most 8 MiB, and was still sending"),
        (Answer(gzip.compress(bytes(1 << 30)), {"Content_Encoding": "gzip"}), Reason.SERVICE, "at most 8 MiB"),
        (b"<html>", Reason.SERVICE, "Check caption.base_url"),
        (b"[" * 100_000, Reason.SERVICE, "RecursionError"),
    ],
)
def test_caption_does_not_call_with_retries_what_is_refused(
    server: CaptionServer, step: Step, reason: Reason, message: str
) -> None:
    server.script.append(step)
    (failed,) = request_captions(server.url)
    assert isinstance(failed, Failed)
    assert failed.reason is reason
    assert re.search(message, failed.error)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("step", "reason", "message"),
    [
        (b'{"choices": []}', Reason.SERVICE, "must answer, and did not in 4 tries: an answer without a choice"),
        (b'{"choices": [{"mess', Reason.SERVICE, "in 4 tries: half an answer .JSONDecodeError"),
        (b'{"choices": [{"message": {"content": " "}}]}', Reason.EMPTY_CAPTION, "no words, got ' '"),
        (b'{"choices": [{"message": {"content": null}}]}', Reason.EMPTY_CAPTION, "got None"),
        (
            b'{"choices": [{"message": {"content": null, "refusal": "I cannot"}}]}',
            Reason.EMPTY_CAPTION,
            "got 'I cannot'",
        ),
    ],
)
def test_caption_fails_where_no_try_has_words(server: CaptionServer, step: bytes, reason: Reason, message: str) -> None:
    server.default = step
    (failed,) = request_captions(server.url)
    assert isinstance(failed, Failed)
    assert failed.reason is reason
    assert re.search(message, failed.error)
    assert len(server.requests) == 4


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b'{"choices": [{"message": {"content": [{"type": "text", "text": "a "}, {"type": "x"}]}}]}', "a"),
        (
            b'{"choices": [{"message": {"content": '
            b'[{"type": "text", "text": "a "}, {"type": "output_text", "text": "b"}]}}]}',
            "a b",
        ),
        (b'\xef\xbb\xbf{"choices": [{"message": {"content": "caf\xc3\xa9"}}]}', "café"),
        ('{"choices": [{"message": {"content": "café"}}]}'.encode("utf-16"), "café"),
        (
            Answer(
                b'{"choices": [{"message": {"content": "caf\xe9"}}]}',
                {"Content_Type": "application/json; charset=latin-1"},
            ),
            "café",
        ),
        (
            Answer(
                b'{"choices": [{"message": {"content": "caf\xc3\xa9"}}]}',
                {"Content_Type": "text/plain; charset=latin-1"},
            ),
            "café",
        ),
        (
            Answer(gzip.compress(b'{"choices": [{"message": {"content": "packed"}}]}'), {"Content_Encoding": "gzip"}),
            "packed",
        ),
        (b'{"error": null, "choices": [{"message": {"content": "fine"}}]}', "fine"),
    ],
)
def test_caption_reads_what_servers_send(server: CaptionServer, answer: Step, text: str) -> None:
    server.script.append(answer)
    assert request_captions(server.url) == [Caption(text)]


def busy(seconds: float, *, as_date: bool = False) -> Answer:
    """An answer of a server that asks for a wait."""
    value = email.utils.formatdate(time.time() + seconds, usegmt=True) if as_date else f"{seconds:g}"
    return Answer(b'{"error": {"message": "Rate limit reached"}}', {"Retry_After": value}, 429)


def test_caption_waits_as_long_as_it_is_told(server: CaptionServer) -> None:
    """More often than four times, which is as often as it is tried without being told."""
    server.script.extend([busy(0)] * 6 + [busy(1)] + [busy(-1, as_date=True)])
    started = time.monotonic()
    (caption,) = request_captions(server.url)
    assert isinstance(caption, Caption)
    assert time.monotonic() - started >= 1
    assert len(server.requests) == 9


def test_caption_does_not_wait_for_hours(server: CaptionServer) -> None:
    server.script.append(busy(3600))
    (failed,) = request_captions(server.url)
    assert isinstance(failed, Failed)
    assert failed.reason is Reason.SERVICE
    assert "Rate limit reached" in failed.error


def completion(text: str, finish_reason: str, tokens: int = 9) -> bytes:
    choice = {"message": {"content": text}, "finish_reason": finish_reason}
    usage = {"completion_tokens": tokens, "prompt_tokens": 100}
    return json.dumps({"choices": [choice], "usage": usage}).encode()


def test_caption_that_is_cut_is_asked_for_with_twice_the_tokens(server: CaptionServer) -> None:
    server.script.extend([completion("a cat sits on", "length"), completion("a cat sits on a mat", "stop", 12)])
    assert request_captions(server.url, max_tokens=5) == [Caption("a cat sits on a mat", 9 + 12, 200)]
    assert [body["max_tokens"] for body in server.requests] == [5, 10]


def test_caption_phase_rejects_what_is_cut_and_counts_what_it_cost(server: CaptionServer, tmp_path: Path) -> None:
    clips = [clip_row(three_shots(tmp_path / "three.mp4"), 0, 75)]
    server.default = completion("a cat sits on", "length")
    settings = {"captioner": "openai", "model": "tiny", "base_url": server.url, "price_input": 2.0, "price_output": 8.0}
    run(tmp_path, clips, **settings)
    (row,) = captions(tmp_path)
    assert (row["status"], row["reason"], row["caption"]) == ("rejected", "cut_short", "a cat sits on")
    assert "also at twice as many: ...'a cat sits on'. Raise caption.max_tokens" in row["error"]
    assert (row["tokens"], row["prompt_tokens"]) == (18, 200), "of both answers"
    assert row["cost"] == pytest.approx((200 * 2 + 18 * 8) / 1e6)


def test_second_model_writes_the_caption_again_from_its_words(server: CaptionServer, tmp_path: Path) -> None:
    """Rows of both: the second model is given words alone, its row names both and is the one that the dataset takes."""
    pan = {"camera_motion": "pan", "camera_speed": 0.1, "camera_direction": "left", "subject_motion": 0.01}
    clips = [clip_row(three_shots(tmp_path / "three.mp4"), 0, 75, **pan)]
    first, second = "A dog runs, I think, on a green field.", "A dog runs on a green field."
    server.script.extend([completion(first, "stop", 12), completion(f"<think>hm</think>{second}", "stop", 7)])
    settings = {"captioner": "openai", "model": "eyes", "base_url": server.url, "refine_model": "pen"}
    prices = {"price_input": 1.0, "price_output": 1.0, "refine_price_input": 3.0, "refine_price_output": 5.0}
    report = run(tmp_path, clips, **prices, **settings)
    assert [(row["model"], row["refined_from"], row["caption"]) for row in captions(tmp_path)] == [
        ("pen", "eyes", second),
        ("eyes", None, first),
    ]
    seen, read = server.requests
    assert (seen["model"], read["model"]) == ("eyes", "pen")
    (part,) = read["messages"][0]["content"]
    assert part["type"] == "text"
    assert first in part["text"]
    assert "The camera pans left." in part["text"]
    assert [row["prompt_id"].partition("@")[0] for row in captions(tmp_path)] == ["refine", "describe"]
    assert [row["cost"] for row in captions(tmp_path)] == [pytest.approx(335e-6), pytest.approx(112e-6)]
    assert report.counters["caption_tokens"] == 19


def test_another_second_model_asks_the_first_one_nothing(server: CaptionServer, tmp_path: Path) -> None:
    """Requests tell who was asked; a second model that comes, changes or goes leaves the first one's rows alone."""
    clips = [clip_row(three_shots(tmp_path / "three.mp4"), 0, 75)]
    first = {"captioner": "openai", "model": "eyes", "base_url": server.url, "price_input": 1.0}
    said = iter(["A dog runs, I think, on a green field.", *(f"A dog runs on field {name}." for name in "abc")])

    def asked(**params: Any) -> tuple[list[str], int, list[tuple[str, str, int, float | None]]]:
        server.requests.clear()
        server.default = completion(next(said), "stop", 12) if params.get("refine_model", "eyes") else None
        report = run(tmp_path, clips, **{**first, **params})
        rows = [(row["model"], row["caption"], row["caption_index"], row["cost"]) for row in captions(tmp_path)]
        return [body["model"] for body in server.requests], report.computed, rows

    alone = ("eyes", "A dog runs, I think, on a green field.", 0, pytest.approx(100e-6))
    below = (*alone[:2], 1, alone[3])
    assert asked() == (["eyes"], 1, [alone])
    assert asked(refine_model="pen") == (["pen"], 1, [("pen", "A dog runs on field a.", 0, None), below])
    changed = asked(refine_model="pencil", price_input=7.0)
    assert changed == (["pencil"], 1, [("pencil", "A dog runs on field b.", 0, None), below])
    again = asked(refine_model="pencil", refine_prompt="Say it again in plain words: {caption}")
    assert again == (["pencil"], 1, [("pencil", "A dog runs on field c.", 0, None), below])
    assert asked(refine_model="") == ([], 0, [alone])
    moved = [clip_row(tmp_path / "three.mp4", 0, 74)]
    server.requests.clear()
    server.default = completion("A cat sits on a red mat.", "stop", 12)
    run(tmp_path, moved, **first, refine_model="pencil")
    assert [body["model"] for body in server.requests] == ["eyes", "pencil"]


def test_first_model_is_asked_again_where_an_answer_of_it_failed(server: CaptionServer, tmp_path: Path) -> None:
    clips = [clip_row(three_shots(tmp_path / "three.mp4"), 0, 75)]
    settings = {"captioner": "openai", "model": "eyes", "base_url": server.url}
    server.script.append(400)
    run(tmp_path, clips, **settings)
    assert [row["reason"] for row in captions(tmp_path)] == ["stage_error"]
    server.default = completion("A dog runs on a green field.", "stop", 12)
    run(tmp_path, clips, **settings, refine_model="pen")
    assert [body["model"] for body in server.requests] == ["eyes", "eyes", "pen"]


def test_second_model_is_not_given_what_is_no_caption(server: CaptionServer, tmp_path: Path) -> None:
    clips = [clip_row(three_shots(tmp_path / "three.mp4"), 0, 75)]
    server.default = completion("I'm sorry, but I can't help with this video.", "stop")
    run(tmp_path, clips, captioner="openai", model="eyes", base_url=server.url, refine_model="pen")
    assert [(row["model"], row["reason"]) for row in captions(tmp_path)] == [("eyes", "refused")]
    assert len(server.requests) == 1


def test_caption_asks_for_the_schema_of_its_prompt(server: CaptionServer, tmp_path: Path) -> None:
    clips = [clip_row(three_shots(tmp_path / "three.mp4"), 0, 75)]
    server.default = completion(json.dumps(GOOD), "stop")
    run(tmp_path, clips, captioner="openai", model="eyes", base_url=server.url, prompt="training")
    (body,) = server.requests
    asked = body["response_format"]
    assert (asked["type"], asked["json_schema"]["schema"]["required"]) == ("json_schema", list(GOOD))
    assert body["max_tokens"] == 1024
    assert [row["field"] for row in captions(tmp_path)] == ["long_caption", "short_caption"]


def test_caption_does_not_follow_a_redirect_with_its_key(
    server: CaptionServer, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CAPTION_API_KEY_VARIABLE, "secret")
    with running_caption_server(checkpoint) as elsewhere:
        server.script.append(f"{elsewhere.url}/chat/completions")
        (failed,) = request_captions(server.url)
        assert elsewhere.authorizations == []
    assert isinstance(failed, Failed)
    assert (failed.reason, len(server.requests)) == (Reason.SERVICE, 1)
    assert "status 302" in failed.error


def test_caption_fails_one_window_alone(server: CaptionServer) -> None:
    server.script.extend([b"[]"])
    answers = request_captions(server.url, 3, requests_in_flight=1)
    assert [type(answer) for answer in answers] == [Failed, Caption, Caption]


def test_caption_phase_records_tokens_and_prompt(server: CaptionServer, tmp_path: Path) -> None:
    """The whole phase, one window refused: its row fails, the other says what the model said."""
    clips = [clip_row(three_shots(tmp_path / "three.mp4"), 0, 75)]
    server.script.append(400)
    settings = {
        "captioner": "openai",
        "model": "tiny",
        "base_url": server.url,
        "max_tokens": 6,
        "requests_in_flight": 1,
        "prompt": "What moves in it?",
        **LENIENT,
    }
    run(tmp_path, clips, **settings, compat="nemo", window_frames=40, window_remainder_frames=20)
    refused, caption = captions(tmp_path)
    assert (refused["status"], refused["reason"], refused["caption"]) == ("failed", "stage_error", None)
    assert (caption["status"], caption["model"], caption["tokens"], caption["weights_hash"]) == (
        "kept",
        "tiny",
        6,
        None,
    )
    assert caption["prompt_id"] == digest("What moves in it?")
    assert len(caption["caption"].split()) == 6


def test_caption_phase_stores_text_that_utf8_cannot_hold(server: CaptionServer, tmp_path: Path) -> None:
    clips = [clip_row(three_shots(tmp_path / "three.mp4"), 0, 75)]
    server.script.append(
        rb'{"choices": [{"message": {"content": "a \ud800 cat \ud83d\ude00"}}], "usage": {"completion_tokens": "12"}}'
    )
    run(tmp_path, clips, captioner="openai", model="tiny", base_url=server.url)
    (caption,) = captions(tmp_path)
    assert (caption["reason"], caption["caption"]) == ("control_characters", "a \ufffd cat \U0001f600")
    assert caption["tokens"] is None


def test_caption_phase_asks_again_after_a_wrong_address(server: CaptionServer, tmp_path: Path) -> None:
    clips = [clip_row(three_shots(tmp_path / "three.mp4"), 0, 75)]
    server.script.append(b"<html>not here</html>")
    for expected in ("failed", "kept"):
        run(tmp_path, clips, captioner="openai", model="tiny", base_url=server.url, **LENIENT)
        assert [row["status"] for row in captions(tmp_path)] == [expected]


def test_captioner_rejects_a_missing_model() -> None:
    with pytest.raises(ParamsError, match=r"caption\.model must be the name"):
        OpenAICaptioner(CaptionParams(captioner="openai"))
