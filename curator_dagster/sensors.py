"""What watches the bucket: a sensor, and a schedule for those who would rather look once an hour."""

from typing import Any

import dagster as dg

from curator_dagster.curation import Curation
from curator_dagster.partitions import add_partitions, portions
from curator_dagster.watching import REGISTERED_TAG, SOURCES_TAG, Cursor, Look, look
from stages.retry import Backoff, using

_TRIES = Backoff(2, 1.0, 1.0)
"""A look has a minute; a store that is away is asked again by the next one."""

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
            skip_reason=None if found.requests else found.summary,
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
        found = _look(curation, context, kept.read())
        add_partitions(context.instance, curation.scoped("sources"), found.new_partitions)
        kept.write(found.cursor)
        return found.requests or dg.SkipReason(found.summary)

    return new_videos_on_schedule


def _look(
    curation: Curation, context: dg.SensorEvaluationContext | dg.ScheduleEvaluationContext, cursor: Cursor
) -> Look:
    storage = getattr(context.resources, curation.scoped("storage"))
    source = getattr(context.resources, curation.scoped("source"))
    with using(_TRIES):
        found = look(curation, storage, source, context.instance, cursor)
    context.log.info(found.summary)
    return found


class _KeptCursor:
    """The cursor of a schedule, which Dagster keeps for sensors alone.

    What was requested is read from the runs that are there, since runs are launched after the schedule has returned.
    """

    def __init__(self, instance: dg.DagsterInstance, curation: Curation) -> None:
        self._instance = instance
        self._sources = curation.scoped("sources")
        self._key = f"curator/{self._sources}/new_videos_on_schedule"

    def read(self) -> Cursor:
        """Where the last look ended."""
        text = self._instance.daemon_cursor_storage.get_cursor_values({self._key}).get(self._key)
        kept = Cursor.parse(text)
        asked = self._instance.get_runs(dg.RunsFilter(tags={SOURCES_TAG: self._sources}), limit=1)
        return Cursor(kept.position, kept.seen, int(asked[0].tags[REGISTERED_TAG]) if asked else 0)

    def write(self, cursor: Cursor) -> None:
        """For the next look."""
        self._instance.daemon_cursor_storage.set_cursor_values({self._key: cursor.text()})
