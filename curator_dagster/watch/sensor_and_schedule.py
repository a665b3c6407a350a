"""The sensor `new_videos` and the schedule `new_videos_on_schedule`: each tick is one scan of the source."""

import json
import re
from dataclasses import replace
from typing import Any

import dagster as dg

from curator_dagster.curation import Curation
from curator_dagster.invented_partitions import remove_partitions
from curator_dagster.partition_contents import contents_line, observations
from curator_dagster.partition_keys import add_partitions, key_chunks
from curator_dagster.printable_text import printable
from curator_dagster.resources import known_location
from curator_dagster.watch.cursor import SourceCursor
from curator_dagster.watch.scan import ScanResult, scan_source
from curator_dagster.watch.source import SourceBucket
from stages.retry import SHORT_BACKOFF, using

_DESCRIPTION = """Watches {location}.

Finds new videos, groups them into partitions, adds those, and asks for runs that curate them.

A video is taken up once it has stopped changing. Other content under a known name is a new video, and its clips take
the place of the old ones. What is removed from the bucket keeps its clips. Turn on the sensor or the schedule, not
both.
"""


def _description(source: SourceBucket) -> str:
    """What a scan does, with the watched folder as far as it is known."""
    location = known_location(source.location) or "the folder that CURATOR_SOURCE names"
    return _DESCRIPTION.format(location=printable(location))


def new_videos_sensor(curation: Curation, job: Any, source: SourceBucket) -> dg.SensorDefinition:
    """Scans once a minute; stopped by default."""

    @dg.sensor(
        name=curation.scoped("new_videos"),
        target=job,
        minimum_interval_seconds=60,
        required_resource_keys=curation.source_resource_keys,
        description=_description(source),
    )
    def new_videos(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        scan = _scan(curation, context, SourceCursor.parse(context.cursor))
        return dg.SensorResult(
            run_requests=scan.requests,
            skip_reason=None if scan.requests else f"{scan.scan_summary} {scan.request_summary}",
            dynamic_partitions_requests=[
                dg.AddDynamicPartitionsRequest(curation.scoped("sources"), keys)
                for keys in key_chunks(scan.new_partitions)
            ]
            + [
                dg.DeleteDynamicPartitionsRequest(curation.scoped("sources"), keys)
                for keys in key_chunks(scan.invented_partitions)
            ],
            asset_events=[*scan.existing, *observations(curation, scan.described)],
            cursor=scan.cursor.serialize(),
        )

    return new_videos


def new_videos_schedule(curation: Curation, job: Any, source: SourceBucket) -> dg.ScheduleDefinition:
    """Scans by a cron schedule; stopped by default."""

    @dg.schedule(
        name=curation.scoped("new_videos_on_schedule"),
        target=job,
        cron_schedule=curation.look_at,
        required_resource_keys=curation.source_resource_keys,
        description=_description(source),
    )
    def new_videos_on_schedule(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        schedule_cursor = _ScheduleCursor(context.instance, curation)
        start = schedule_cursor.read()
        scan = _scan(curation, context, start)
        if not _is_preview(context):
            add_partitions(context.instance, curation.scoped("sources"), scan.new_partitions)
            remove_partitions(curation, context.instance, scan.invented_partitions)
            for event in [*scan.existing, *observations(curation, scan.described)]:
                context.instance.report_runless_asset_event(event)
            schedule_cursor.write(start, scan)
        requests = [request for request in scan.requests if not schedule_cursor.has_run(str(request.run_key))]
        return requests or dg.SkipReason(f"{scan.scan_summary} {scan.request_summary}")

    return new_videos_on_schedule


def _scan(
    curation: Curation, context: dg.SensorEvaluationContext | dg.ScheduleEvaluationContext, cursor: SourceCursor
) -> ScanResult:
    storage = getattr(context.resources, curation.scoped("storage"))
    source = getattr(context.resources, curation.scoped("source"))
    with using(SHORT_BACKOFF):
        scan = scan_source(curation, storage, source, context.instance, cursor, is_preview=_is_preview(context))
    context.log.info(f"{scan.scan_summary} {scan.request_summary}")
    for contents in scan.described:
        context.log.info(contents_line(contents))
    return scan


def _is_preview(context: dg.SensorEvaluationContext | dg.ScheduleEvaluationContext) -> bool:
    """True where Dagster evaluates without a tick, as *Preview tick result* does: it commits nothing of the result.

    Dagster does not say so. The daemon keys the logs of a tick by the tick's number; the context of a code server that
    was given no key makes one from the time.
    """
    if context.instance_ref is None or not context.log_key:  # a person's own call
        return False
    return _TIME_AS_LOG_KEY.fullmatch(context.log_key[-1]) is not None


_TIME_AS_LOG_KEY = re.compile("[0-9]{8}_[0-9]{6}")


class _ScheduleCursor:
    """The cursor of the schedule, stored by hand because Dagster has cursors for sensors only.

    Dagster launches the runs of a tick after it has returned, and does not compare run keys between ticks of a
    schedule. So each tick checks which runs of the tick before exist, and requests the others again.
    """

    def __init__(self, instance: dg.DagsterInstance, curation: Curation) -> None:
        self._instance = instance
        self._key = f"curator/{curation.scoped('sources')}/new_videos_on_schedule"

    def read(self) -> SourceCursor:
        """The cursor after the last tick whose runs all exist, with the position of the listing of the last tick."""
        text = self._instance.daemon_cursor_storage.get_cursor_values({self._key}).get(self._key)
        stored = json.loads(text or "{}")
        start, end = SourceCursor.parse(stored.get("began")), SourceCursor.parse(stored.get("ended"))
        if all(map(self.has_run, stored.get("asked", []))):
            return end
        return replace(end, requested=start.requested, registration=start.registration)

    def write(self, start: SourceCursor, scan: ScanResult) -> None:
        """Store the cursors before and after this tick, and the run keys that it requests."""
        run_keys = [request.run_key for request in scan.requests]
        stored = {"began": start.serialize(), "ended": scan.cursor.serialize(), "asked": run_keys}
        self._instance.daemon_cursor_storage.set_cursor_values({self._key: json.dumps(stored)})

    def has_run(self, run_key: str) -> bool:
        """True where a run with this key exists."""
        return bool(self._instance.get_run_ids(dg.RunsFilter(tags={"dagster/run_key": run_key}), limit=1))
