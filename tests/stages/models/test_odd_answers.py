"""Answers that servers, and what stands before them, send beside good ones: each told apart as passing or final."""

import email.utils
import gzip
import json
import re
import time
import zlib
from pathlib import Path
from typing import Any

import pytest

from stages.errors import ParamsError, Reason
from stages.models.captioner import Caption
from stages.models.retry_after import told_wait_s
from stages.params import CAPTION_API_KEY_VARIABLE
from stages.tasks import Failed
from tests.clips import clip_row
from tests.stages.caption.test_phase import captions, run
from tests.stages.models.caption_server import Answer, CaptionServer, Step
from tests.stages.models.test_openai_captioner import busy, completion, request_captions
from tests.videos import three_shots

NOON = "Sun, 29 Nov 2026 12:00:00 GMT"
GOOD = completion("a cat sits on a mat", "stop", 6)


def said(choice: dict[str, Any], **others: Any) -> bytes:
    return json.dumps({"choices": [choice], **others}).encode()


@pytest.mark.parametrize(
    "step",
    [
        b"",
        b"  \n",
        b'{"choices": [{}]}',
        b'{"choices": [null]}',
        b'{"choices": {"0": {}}}',
        Answer(gzip.compress(GOOD)[:40], {"Content_Encoding": "gzip"}),
        Answer(gzip.compress(GOOD)[:12], {"Content_Encoding": "gzip"}),
        Answer(zlib.compress(GOOD)[:-4] + b"crc!", {"Content_Encoding": "deflate"}),
        GOOD.decode().encode("utf-16")[:-3],
        said({"message": {"content": "half of"}, "finish_reason": "error"}),
        said({"message": {"content": "half of"}, "finish_reason": "abort"}),
        said({"error": {"code": 502, "message": "upstream"}, "message": {"content": "half of"}}),
        b'{"object": "error", "code": 503, "message": "busy"}',
        b'{"error": {"code": 1302, "message": "a number of the service\'s own"}}',
        b'{"error": {"code": true, "status": "UNAVAILABLE"}}',
        b'{"error": {"code": "' + b"9" * 5000 + b'"}}',
        Answer(b"<html>" + b" " * (9 << 20), {}, 503),
        Answer(b"packed in a way that nobody asked for", {"Content_Encoding": "br"}, 503),
        Answer(b"", {"Retry_After": "Thu, 01 Jan 1970 00:00:00 +99999999999999999999"}, 429),
        Answer(b"", {"Retry_After_Ms": "1"}, 429),
    ],
)
def test_what_may_pass_is_tried_again(server: CaptionServer, step: Step) -> None:
    server.script.extend([step, GOOD])
    assert request_captions(server.url) == [Caption("a cat sits on a mat", 6, 100)]
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("step", "reason", "message"),
    [
        (
            b'{"error": {"type": "invalid_request_error", "message": "too many pictures"}}',
            Reason.STAGE_ERROR,
            "too many",
        ),
        (b'{"error": {"code": "invalid_api_key"}}', Reason.SERVICE, "invalid_api_key"),
        (b'{"object": "error", "type": "BadRequestError", "message": "m"}', Reason.STAGE_ERROR, "BadRequestError"),
        (said({"error": {"code": 400, "message": "no"}}), Reason.STAGE_ERROR, "an error inside the answer"),
        (Answer(b"x", {"Content_Encoding": "br"}), Reason.SERVICE, r"an encoding that it was asked for \(.*\), got br"),
        (
            Answer(b"data: {}", {"Content_Type": "text/event-stream"}),
            Reason.SERVICE,
            "must answer with a chat completion",
        ),
        (Answer(b"moved", {"Location": "http://["}, 302), Reason.SERVICE, "status 302|RemoteProtocolError"),
        (Answer(b"", {}, 304), Reason.SERVICE, "status 304"),
    ],
)
def test_what_will_not_pass_is_final(server: CaptionServer, step: Step, reason: Reason, message: str) -> None:
    server.default = step
    (failed,) = request_captions(server.url)
    assert isinstance(failed, Failed)
    assert failed.reason is reason
    assert re.search(message, failed.error)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"type": "text", "text": "one part"}, "one part"),
        (["a ", "list"], "a list"),
        ([{"text": "no type"}], "no type"),
        ([{"type": "thinking", "text": "hm"}, {"type": "text", "text": "said"}, {"type": "future", "data": 1}], "said"),
        ([{"type": "text", "text": None}, 7, None, {"type": "text", "text": "left"}], "left"),
    ],
)
def test_content_is_read_in_every_form(server: CaptionServer, content: object, text: str) -> None:
    server.script.append(said({"message": {"content": content}, "finish_reason": "stop"}))
    assert request_captions(server.url) == [Caption(text)]


@pytest.mark.parametrize("name", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"])
@pytest.mark.parametrize("text", ["plain", "caf\u00e9"])
def test_answer_in_any_unicode_is_read(server: CaptionServer, name: str, text: str) -> None:
    answer = f'{{"choices": [{{"message": {{"content": "{text}"}}}}]}}'
    server.script.append(Answer(answer.encode(name), {"Content_Type": "application/json; charset=ascii"}))
    assert request_captions(server.url) == [Caption(text)]


def test_charset_in_the_wrong_header_changes_nothing(server: CaptionServer) -> None:
    server.script.append(Answer(GOOD, {"Content_Encoding": "UTF-8"}))
    assert request_captions(server.url) == [Caption("a cat sits on a mat", 6, 100)]


def test_server_that_asks_for_no_wait_without_end_is_given_up(server: CaptionServer) -> None:
    """``Retry-After: 0``, or a date that has passed, would be answered at once for ever."""
    server.default = busy(0)
    server.script.extend([busy(-60, as_date=True)] * 5)
    (failed,) = request_captions(server.url)
    assert isinstance(failed, Failed)
    assert (failed.reason, len(server.requests)) == (Reason.SERVICE, 301)
    assert "Rate limit reached" in failed.error


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "30"}, 30.0),
        ({"Retry-After": " 1.5 "}, 1.5),
        ({"Retry-After": "30", "Retry-After-Ms": "250"}, 0.25),
        ({"Retry-After": "Sun, 29 Nov 2026 12:01:40 GMT", "Date": NOON}, 100.0),
        ({"Retry-After": "Sun, 29 Nov 2026 13:00:10 +0100", "Date": NOON}, 10.0),
        ({"Retry-After": "Sun, 29 Nov 2026 11:00:00 GMT", "Date": NOON}, 0.0),
        ({"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0.0),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "soon", "Date": NOON}, None),
        ({"Retry-After": "Fri, 31 Dec 99999 23:59:59 GMT"}, None),
        ({"Retry-After": "Thu, 01 Jan 1970 00:00:00 +99999999999999999999"}, None),
        ({}, None),
    ],
)
def test_told_wait_is_read_from_headers(headers: dict[str, str], seconds: float | None) -> None:
    assert told_wait_s(headers) == seconds


def test_told_date_without_the_servers_clock_is_compared_with_ours() -> None:
    found = told_wait_s({"Retry-After": email.utils.formatdate(time.time() + 100, usegmt=True)})
    assert found == pytest.approx(100, abs=5)


@pytest.mark.parametrize("end", ["length", "MAX_TOKENS", "model_length", None])
def test_cut_answer_is_told_by_its_end_or_its_tokens(server: CaptionServer, end: str | None) -> None:
    usage = {"completion_tokens": 5, "prompt_tokens": 50}
    cut = said({"message": {"content": "a cat sits"}, "finish_reason": end}, usage=usage)
    server.script.extend([cut, completion("a cat sits on a mat", "stop", 7)])
    assert request_captions(server.url, max_tokens=5) == [Caption("a cat sits on a mat", 12, 150)]


def test_cut_answer_stays_where_the_model_takes_no_more_tokens(server: CaptionServer) -> None:
    server.script.extend([completion("a cat sits", "length", 5), 400])
    assert request_captions(server.url, max_tokens=5) == [Caption("a cat sits", 5, 100, is_cut=True)]
    server.script.extend([completion("a cat sits", "length", 5), 401])
    (failed,) = request_captions(server.url, max_tokens=5)
    assert isinstance(failed, Failed)


@pytest.mark.parametrize("text", ["a cat sits and then", ""])
def test_filtered_answer_is_rejected(server: CaptionServer, tmp_path: Path, text: str) -> None:
    clips = [clip_row(three_shots(tmp_path / "three.mp4"), 0, 75)]
    server.default = completion(text, "content_filter", 4)
    run(tmp_path, clips, captioner="openai", model="tiny", base_url=server.url, refine_model="pen")
    (row,) = captions(tmp_path)
    assert (row["status"], row["reason"], row["finish_reason"]) == ("rejected", "refused", "content_filter")
    assert (row["caption"] or "", row["tokens"], len(server.requests)) == (text, 4, 1)
    assert "a content filter of the server ended it" in row["error"]


def test_key_is_sent_without_the_line_break_of_its_file(server: CaptionServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CAPTION_API_KEY_VARIABLE, "secret\n")
    server.script.append(GOOD)
    assert isinstance(request_captions(server.url)[0], Caption)
    assert server.authorizations == ["Bearer secret"]


@pytest.mark.parametrize("key", ["se cret", "secr\u00e9t", "sec\nret"])
def test_key_that_no_header_holds_is_refused_without_being_told(
    server: CaptionServer, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv(CAPTION_API_KEY_VARIABLE, key)
    with pytest.raises(ParamsError, match="CURATOR_CAPTION_API_KEY must be of ASCII letters") as raised:
        request_captions(server.url)
    assert key not in str(raised.value)
    assert server.requests == []


def test_server_on_this_machine_is_asked_without_a_proxy(
    server: CaptionServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for url in (server.url, server.url.replace("127.0.0.1", "localhost")):
        server.script.append(GOOD)
        assert isinstance(request_captions(url)[0], Caption)
