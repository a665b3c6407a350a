"""What a launch may name: modules of users' own classes, and hosts that a key is sent to.

A person who types a command may name what they like. A launch from a web page, from GraphQL or from a sensor may come
from someone who may start runs but not code; it is bound to what the deployment names.
"""

import ipaddress
import itertools
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from stages.errors import ParamsError
from stages.params import (
    CAPTION_API_KEY_VARIABLE,
    EMBED_API_KEY_VARIABLE,
    CaptionParams,
    EmbedParams,
    FilterParams,
    FurtherEmbedParams,
    Params,
)

PLUGINS_VARIABLE = "CURATOR_PLUGINS"
CAPTION_HOSTS_VARIABLE = "CURATOR_CAPTION_HOSTS"
EMBED_HOSTS_VARIABLE = "CURATOR_EMBED_HOSTS"


@dataclass(frozen=True)
class LaunchPolicy:
    """What the deployment allows.

    Attributes:
        plugins: modules and packages ("acme.filters") whose classes may be named, and single classes
            ("acme.filters:Overlay"). A package stands for all of its modules.
        caption_hosts: hosts, with all of their ports, or hosts with a port ("captions.example:8000"), that may get the
            key of the caption server, beside this machine.
        embed_hosts: the same of the embedding server.
    """

    plugins: frozenset[str] = frozenset()
    caption_hosts: frozenset[str] = frozenset()
    embed_hosts: frozenset[str] = frozenset()

    def check(self, params: Iterable[Params], *, has_remote_workers: bool = False) -> None:
        """Check what these parameters name, before anything of it is imported or called.

        Args:
            params: of all phases that the launch may run.
            has_remote_workers: workers run on other machines, whose environment may hold a key.

        Raises:
            ParamsError: names every class and every host that is not allowed.
        """
        problems: list[str] = []
        for each in itertools.chain.from_iterable((first, *first.further()) for first in params):
            problems += [
                f"{each.title}: a launch may name a class of your own only from modules that the deployment allows, "
                f"got {name!r}. Allowed are {sorted(self.plugins) or 'none'}. Add its module to {PLUGINS_VARIABLE}, to "
                "`plugins` in the component's YAML, or to the entry points curator_dagster.plugins of its package."
                for _, name in each.plugin_names()
                if ":" in name and not self.allows_plugin(name)
            ]
            for name, asker in _captioners(each):
                if not self.allows_captioner(asker, has_remote_workers):
                    asked = " and ".join(map(repr, asker.servers()))
                    problems.append(
                        f"{name}: a launch may send the key in {CAPTION_API_KEY_VARIABLE} only to hosts that the "
                        f"deployment names, got {asked}. Allowed are {sorted(self.caption_hosts) or 'none'} and "
                        f"this machine. Add the host to {CAPTION_HOSTS_VARIABLE}."
                    )
            if isinstance(each, EmbedParams) and not self.allows_embedder(each, has_remote_workers):
                problems.append(
                    f"{_embed_param(each)}base_url: a launch may send the key in {EMBED_API_KEY_VARIABLE} only to "
                    f"hosts that the deployment names, got {each.base_url!r}. Allowed are "
                    f"{sorted(self.embed_hosts) or 'none'} and this machine. Add the host to {EMBED_HOSTS_VARIABLE}."
                )
        if problems:
            raise ParamsError("\n".join(problems))

    def allows_plugin(self, name: str) -> bool:
        """True for "package.module:Class" where the class, its module or a package above it is allowed."""
        module = name.partition(":")[0]
        parts = module.split(".")
        above = {".".join(parts[:count]) for count in range(1, len(parts) + 1)}
        return name in self.plugins or not above.isdisjoint(self.plugins)

    def allows_captioner(self, params: CaptionParams, has_remote_workers: bool = False) -> bool:
        """True where no key can be sent, or the host may get it. A user's own captioner may have a key of its own."""
        has_key = has_remote_workers or bool(os.environ.get(CAPTION_API_KEY_VARIABLE)) or ":" in params.captioner
        return not has_key or all(_is_allowed(url, self.caption_hosts) for url in params.servers())

    def allows_embedder(self, params: EmbedParams, has_remote_workers: bool = False) -> bool:
        """True where no key can be sent, or the host may get it. A user's own embedder may have a key of its own."""
        has_key = has_remote_workers or bool(os.environ.get(EMBED_API_KEY_VARIABLE)) or ":" in params.embedder
        uses_server = params.embedder == "openai" or ":" in params.embedder
        return not (uses_server and has_key) or _is_allowed(params.base_url, self.embed_hosts)


def _embed_param(params: EmbedParams) -> str:
    """What stands before the name of a parameter of an embedder."""
    return f"embed.more[{params.name}]." if isinstance(params, FurtherEmbedParams) else "embed."


def _captioners(params: Params) -> Iterator[tuple[str, CaptionParams]]:
    """The captioners of a phase, each with the name of the parameter that says where its server is."""
    if isinstance(params, CaptionParams):
        yield "caption.base_url", params
    if isinstance(params, FilterParams) and "ask" in params.filters:
        yield "filter.ask_base_url", params.asker_params()


def _is_allowed(base_url: str, hosts: Iterable[str]) -> bool:
    host, port = host_and_port(base_url)
    return _is_loopback(host) or not {host, f"{host}:{port}"}.isdisjoint(map(str.lower, hosts))


def host_and_port(base_url: str) -> tuple[str, int]:
    """Host in lower case and port of a valid `caption.base_url`; an IPv6 address without its brackets."""
    parts = urlsplit(base_url)
    return (parts.hostname or "").lower(), parts.port or (443 if parts.scheme == "https" else 80)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
