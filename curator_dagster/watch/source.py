"""The resource of the watched source, and the parameters of its scans."""

import dagster as dg
from pydantic import BaseModel, ConfigDict, Field


class WatchParams(BaseModel):
    """How new videos are taken up, and how much of them at once."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    settle_s: float = Field(
        default=60.0,
        ge=0,
        description="A video is taken up once it has not changed for so long: it may still be written. [0 <= number]",
    )
    fill_wait_s: float = Field(
        default=0.0,
        ge=0,
        description="New videos that fill no partition wait for more until one is this old. [0 <= number]",
    )
    tick_s: float = Field(
        default=30.0,
        gt=0,
        le=50,
        description="One scan lists and registers for so long, the next goes on from there. Dagster gives a tick 60 s. "
        "[0 < number <= 50]",
    )
    partitions_per_run: int = Field(default=16, ge=1, description="New partitions of one run, at most. [1 <= integer]")
    runs_per_tick: int = Field(default=20, ge=1, description="Runs that one scan asks for, at most. [1 <= integer]")


class SourceBucket(WatchParams, dg.ConfigurableResource["SourceBucket"]):
    """Where new videos appear."""

    location: str = Field(description="A folder, or any fsspec URL (s3://bucket/videos).")
