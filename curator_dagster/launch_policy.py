"""What the launches of a curation may name, from the environment, the component's YAML and installed packages."""

import importlib.metadata
import os
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from stages.errors import ParamsError
from stages.params import CaptionParams, EmbedParams, FilterParams, Params
from stages.run import CAPTION_HOSTS_VARIABLE, EMBED_HOSTS_VARIABLE, PLUGINS_VARIABLE, LaunchPolicy, host_and_port

if TYPE_CHECKING:  # `curator retry` checks a stored URL here, and may run without Dagster
    from curator_dagster.curation import Curation

RAY_ADDRESSES_VARIABLE = "CURATOR_RAY_ADDRESSES"
_SECRET = re.compile("KEY|SECRET|TOKEN|PASSW|CREDENTIAL", re.IGNORECASE)
ENTRY_POINT_GROUP = "curator_dagster.plugins"
"""Group of the entry points by which an installed package offers plug-ins; the value is a module, or module:Class."""


def launch_policy(curation: "Curation") -> LaunchPolicy:
    """What the deployment allows: beside its lists, whatever its own default parameters name."""
    entry_points = importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)
    defaults = [
        name
        for params in curation.params.values()
        for each in (params, *params.further())
        for _, name in each.plugin_names()
        if ":" in name
    ]
    return LaunchPolicy(
        plugins=frozenset(
            [*curation.plugins, *_listed(PLUGINS_VARIABLE), *(point.value for point in entry_points), *defaults]
        ),
        caption_hosts=frozenset(
            [
                *_listed(CAPTION_HOSTS_VARIABLE),
                *_default_hosts(curation.params["caption"]),
                *_default_hosts(curation.params["filter"]),
            ]
        ),
        embed_hosts=frozenset([*_listed(EMBED_HOSTS_VARIABLE), *_default_hosts(curation.params["embed"])]),
    )


def check_stored_caption_url(params: CaptionParams) -> None:
    """Check the caption server that tables were made with, before a person's key is sent there.

    Raises:
        ParamsError: the deployment does not name the host, and whoever launched the run that made the tables did.
    """
    policy = LaunchPolicy(caption_hosts=frozenset(_listed(CAPTION_HOSTS_VARIABLE)))
    if not policy.allows_captioner(params):
        raise ParamsError(
            f"caption.base_url: the tables were made with {params.base_url!r}, which a launch may have named, and a "
            f"key would be sent there. Confirm it with --set caption.base_url={params.base_url}, or add the host to "
            f"{CAPTION_HOSTS_VARIABLE}."
        )


def check_run_config(curation: "Curation", run_config: Mapping[str, Any]) -> None:
    """Check what a launch sets beside the parameters: secrets of the environment, and another Ray.

    Where a parameter is ``{"env": NAME}``, its value ends in tables, prompts and messages. A Ray that a launch names
    would run the code that it likes in this process, since Ray pickles what it sends.

    Raises:
        ParamsError: a parameter takes the value of a variable that may hold a secret, or the run would join a Ray that
            the deployment does not name.
    """
    secrets = sorted(name for name in _env_names(run_config.get("ops")) if _SECRET.search(name))
    if secrets:
        raise ParamsError(
            f"A launch may not take a parameter from a variable that may hold a secret, got {', '.join(secrets)}. "
            "Name a variable without KEY, SECRET, TOKEN, PASSWORD or CREDENTIAL in its name."
        )
    pool = (run_config.get("resources") or {}).get(curation.ray_pool_key) or {}
    address = (pool.get("config") or {}).get("address", "local")
    allowed = ["local", curation.executor.address, *_listed(RAY_ADDRESSES_VARIABLE)]
    if address not in allowed:
        raise ParamsError(
            f"{curation.ray_pool_key}.address: a launch may join only a Ray that the deployment names, got "
            f"{address!r}. Allowed are {sorted(set(allowed))}. Add it to {RAY_ADDRESSES_VARIABLE}."
        )


def _env_names(value: Any) -> Iterator[str]:
    """Names of the variables that a config takes values from, at any depth."""
    if isinstance(value, Mapping):
        if set(value) == {"env"}:
            yield str(value["env"])
        for each in value.values():
            yield from _env_names(each)
    elif isinstance(value, list):
        for each in value:
            yield from _env_names(each)


def _listed(variable: str) -> list[str]:
    """The entries of a list with commas in an environment variable."""
    return [entry.strip() for entry in os.environ.get(variable, "").split(",") if entry.strip()]


def _default_hosts(params: Params) -> list[str]:
    """Host and port of the deployment's own caption server, embedding server, or one that is asked questions."""
    if isinstance(params, FilterParams):
        params = params.asker_params()
    if not isinstance(params, CaptionParams | EmbedParams):
        return []
    urls = [params.base_url, *(each.base_url for each in params.further() if isinstance(each, EmbedParams))]
    return [f"{host}:{port}" for host, port in map(host_and_port, urls)]
