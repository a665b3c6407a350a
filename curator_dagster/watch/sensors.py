"""What watches the bucket: a sensor, and a schedule for those who would rather look once an hour."""

import json
from dataclasses import replace
from typing import Any

import dagster as dg

from curator_dagster.curation import Curation
from curator_dagster.partitions import add_partitions, portions
from curator_dagster.watch.cursor import Cursor
from curator_dagster.watch.look import Look, look
from stages.retry import SHORT_BACKOFF, using

_ABOUT = """Finds new videos, groups them into partitions, adds those, and asks for runs that curate them.

A video is taken up once it has stopped changing. Other content under a known name is a new video, and its clips take
the place of the old ones. What is removed from the bucket keeps its clips. Turn on the sensor or the schedule, not
both.
"""


def new_videos_sensor(curation: Curation, job: Any) -> dg.SensorDefinition:
    """Looks once a minute; off until somebody turns it on."""

    @dg.sensor(
        name=curation.scoped("new_videos"),
        target=job,
        minimum_interval_seconds=60,
        required_resource_keys=curation.source_keys,
        description=_ABOUT,
    )
    def new_videos(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        found = _look(curation, context, Cursor.parse(context.cursor))
        return dg.SensorResult(
            run_requests=found.requests,
            skip_reason=None if found.requests else f"{found.taken_up} {found.asked}",
            dynamic_partitions_requests=[
                dg.AddDynamicPartitionsRequest(curation.scoped("sources"), keys)
                for keys in portions(found.new_partitions)
            ],
            cursor=found.cursor.text(),
        )

    return new_videos


def new_videos_schedule(curation: Curation, job: Any) -> dg.ScheduleDefinition:
    """Looks when the clock says so; off until somebody turns it on."""

    @dg.schedule(
        name=curation.scoped("new_videos_on_schedule"),
        target=job,
        cron_schedule=curation.look_at,
        required_resource_keys=curation.source_keys,
        description=_ABOUT,
    )
    def new_videos_on_schedule(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        kept = _KeptCursor(context.instance, curation)
        began = kept.read()
        found = _look(curation, context, began)
        add_partitions(context.instance, curation.scoped("sources"), found.new_partitions)
        kept.write(began, found)
        requests = [request for request in found.requests if not kept.has_run(str(request.run_key))]
        return requests or dg.SkipReason(f"{found.taken_up} {found.asked}")

    return new_videos_on_schedule


def _look(
    curation: Curation, context: dg.SensorEvaluationContext | dg.ScheduleEvaluationContext, cursor: Cursor
) -> Look:
    storage = getattr(context.resources, curation.scoped("storage"))
    source = getattr(context.resources, curation.scoped("source"))
    with using(SHORT_BACKOFF):
        found = look(curation, storage, source, context.instance, cursor)
    context.log.info(f"{found.taken_up} {found.asked}")
    return found


class _KeptCursor:
    """The cursor of a schedule, which Dagster keeps for sensors alone.

    Runs are launched after the schedule has returned, and a run key says nothing to a later look of it. So each look
    finds out whether the runs are there that the one before asked for, and asks for those that are not.
    """

    def __init__(self, instance: dg.DagsterInstance, curation: Curation) -> None:
        self._instance = instance
        self._key = f"curator/{curation.scoped('sources')}/new_videos_on_schedule"

    def read(self) -> Cursor:
        """Where the last look ended of which all runs are there, and how far the listing has come since."""
        text = self._instance.daemon_cursor_storage.get_cursor_values({self._key}).get(self._key)
        kept = json.loads(text or "{}")
        began, ended = Cursor.parse(kept.get("began")), Cursor.parse(kept.get("ended"))
        if all(map(self.has_run, kept.get("asked", []))):
            return ended
        return replace(ended, requested=began.requested, registration=began.registration)

    def write(self, began: Cursor, found: Look) -> None:
        """For the next look."""
        asked = [request.run_key for request in found.requests]
        kept = {"began": began.text(), "ended": found.cursor.text(), "asked": asked}
        self._instance.daemon_cursor_storage.set_cursor_values({self._key: json.dumps(kept)})

    def has_run(self, run_key: str) -> bool:
        """True where a run was launched with this key."""
        return bool(self._instance.get_run_ids(dg.RunsFilter(tags={"dagster/run_key": run_key}), limit=1))
