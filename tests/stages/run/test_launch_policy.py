"""What a launch may name: classes of allowed modules, and hosts that may get the key."""

from typing import Any

import pytest

from stages.errors import ParamsError
from stages.params import CAPTION_API_KEY_VARIABLE, CaptionParams, EmbedParams, FilterParams, Params, SplitParams
from stages.run import LaunchPolicy

ACME = LaunchPolicy(
    plugins=frozenset({"acme.filters", "other:Splitter"}), caption_hosts=frozenset({"captions.example"})
)


@pytest.mark.parametrize(
    "params",
    [
        FilterParams(),
        SplitParams(),
        EmbedParams(embedder="transformers", model="/checkpoint"),
        FilterParams(filters=["acme.filters:Overlay", "size"]),
        FilterParams(filters=["acme.filters.text:Overlay"], custom=[{"filter": "acme.filters.text:Overlay", "x": 1}]),
        SplitParams(method="other:Splitter"),
    ],
)
def test_policy_allows_bundled_classes_and_those_of_its_modules(params: Params) -> None:
    ACME.check([params])


@pytest.mark.parametrize(
    "params",
    [
        FilterParams(filters=["subprocess:Popen"], custom=[{"filter": "subprocess:Popen", "args": ["true"]}]),
        FilterParams(filters=["size"], custom=[{"filter": "os:system", "command": "true"}]),
        FilterParams(filters=["builtins:eval"]),
        FilterParams(filters=["pickle:loads"]),
        FilterParams(filters=["acme:Overlay"]),  # above what is allowed
        FilterParams(filters=["acme.filtersx:Overlay"]),
        FilterParams(filters=["/tmp/evil.py:Overlay"]),
        FilterParams(filters=["file:///tmp/evil.py:Overlay"]),
        FilterParams(filters=["http://evil.example/acme.filters:Overlay"]),
        FilterParams(filters=[".acme.filters:Overlay"]),
        FilterParams(filters=[":Overlay"]),
        SplitParams(method="other:Else"),
        EmbedParams(embedder="os:execv"),
        CaptionParams(captioner="code:interact"),
    ],
)
def test_policy_refuses_every_other_class(params: Params) -> None:
    with pytest.raises(ParamsError, match="a launch may name a class of your own only from modules"):
        ACME.check([params])


def test_policy_names_everything_that_it_refuses() -> None:
    with pytest.raises(ParamsError) as caught:
        ACME.check([FilterParams(filters=["os:a", "os:b"]), SplitParams(method="os:c")])
    assert all(f"'os:{name}'" in str(caught.value) for name in "abc")


def captions(base_url: str, **params: Any) -> CaptionParams:
    return CaptionParams.model_validate({"captioner": "openai", "model": "m", "base_url": base_url, **params})


@pytest.mark.parametrize(
    "url",
    [
        "https://captions.example/v1",
        "https://captions.example:8443/v1",
        "http://127.0.0.1:8000/v1",
        "http://[::1]:8000/v1",
        "http://localhost:1/v1",
    ],
)
def test_policy_lets_the_key_go_to_named_hosts_and_to_this_machine(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CAPTION_API_KEY_VARIABLE, "secret")
    ACME.check([captions(url)])


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/v1",
        "https://captions.example.evil.example/v1",
        "http://127.0.0.1.evil.example/v1",
        "http://localhost.evil.example/v1",
        "http://2130706433.example/v1",
    ],
)
def test_policy_refuses_to_send_the_key_elsewhere(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CAPTION_API_KEY_VARIABLE, "secret")
    with pytest.raises(ParamsError, match="a launch may send the key in CURATOR_CAPTION_API_KEY only to hosts"):
        ACME.check([captions(url)])


@pytest.mark.parametrize(
    "params",
    [
        {"captioner": "measured", "refine_model": "m", "refine_base_url": "https://evil.example/v1"},
        {"refine_model": "m", "refine_base_url": "https://evil.example/v1"},
        {"captioner": "measured", "refine_model": "m", "base_url": "https://evil.example/v1"},
    ],
)
def test_policy_binds_the_server_of_the_second_model_too(
    params: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CAPTION_API_KEY_VARIABLE, "secret")
    with pytest.raises(ParamsError, match=r"got .*https://evil\.example/v1"):
        ACME.check([captions(**{"base_url": "http://127.0.0.1:1/v1", **params})])
    ACME.check([captions("https://captions.example/v1", refine_model="m", refine_base_url="http://[::1]:8/v1")])
    ACME.check([captions("https://evil.example/v1", captioner="measured")])


def test_policy_binds_the_host_only_where_there_may_be_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CAPTION_API_KEY_VARIABLE, raising=False)
    ACME.check([captions("https://evil.example/v1")])
    with pytest.raises(ParamsError, match="a launch may send the key"):
        ACME.check([captions("https://evil.example/v1")], has_remote_workers=True)
    monkeypatch.setenv(CAPTION_API_KEY_VARIABLE, "secret")
    ACME.check([captions("https://evil.example/v1", captioner="measured")])


def test_policy_with_a_port_allows_this_port_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CAPTION_API_KEY_VARIABLE, "secret")
    policy = LaunchPolicy(caption_hosts=frozenset({"captions.example:8443"}))
    policy.check([captions("https://captions.example:8443/v1")])
    with pytest.raises(ParamsError, match="a launch may send the key"):
        policy.check([captions("https://captions.example/v1")])


def test_policy_binds_the_host_of_a_users_own_captioner_which_may_have_a_key_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(CAPTION_API_KEY_VARIABLE, raising=False)
    with pytest.raises(ParamsError, match="a launch may send the key"):
        ACME.check([captions("https://evil.example/v1", captioner="acme.filters:Captioner")])


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://host/v1",
        "http:///v1",
        "captions.example",
        "http://[x",
        "http://captions.example@evil.example/v1",
        "http://user:secret@host/v1",
        "http://127.0.0.1:x.evil.example:80/v1",
        "http://[::1].evil.example/v1",
        "http://evil.example[::1]/v1",
        "http://evil%2Fx/v1",
        "http://host\\@evil.example/v1",
        "http://host:99999/v1",
        "http://host:0/v1",
        "http://h\u00f6st/v1",
        "http://host/v1 x",
        " http://host/v1",
    ],
)
def test_base_url_must_be_http(url: str) -> None:
    with pytest.raises(ValueError, match="base_url must be an http or https URL with a host"):
        CaptionParams(base_url=url)
