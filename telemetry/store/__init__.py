"""The only door to frames, latest state and batches: nobody else writes SQL on them.

Every reading verb takes the organization. The verbs: append, latest, range and history, summary, purge and expire.
"""

from telemetry.store.append import append
from telemetry.store.batches import BatchRow, clocks_ahead, read_batches
from telemetry.store.connections import cursor, open_connection
from telemetry.store.expiry import (
    delete_frames,
    delete_rollups,
    delete_unused_signal_sets,
    drop_partitions,
    forget_progress,
    list_partitions,
    trim_batches,
)
from telemetry.store.frames import Range
from telemetry.store.health import SinkHealth, dead_list, sink_health, sizes
from telemetry.store.history import (
    History,
    Series,
    Summary,
    read_bounds,
    read_frames,
    read_history,
    read_summary,
)
from telemetry.store.latest import LatestRow, newest_frames, read_latest
from telemetry.store.partitions import FRAMES, ROLLUPS, Partitions, make_ahead
from telemetry.store.purge import orphans, purge_vehicle
from telemetry.store.rejections import KEPT_A_DAY, MOST_ROWS, REJECTED_DAYS, trim_rejected, write_rejections
from telemetry.store.rollups import Change, make_rollup_partitions, read_changes, read_hours, write_hours
from telemetry.store.scan import Spans, scan_frames
from telemetry.store.signal_scan import VehicleSpans, scan_signals

__all__ = [
    "FRAMES",
    "KEPT_A_DAY",
    "MOST_ROWS",
    "REJECTED_DAYS",
    "ROLLUPS",
    "BatchRow",
    "Change",
    "History",
    "LatestRow",
    "Partitions",
    "Range",
    "Series",
    "SinkHealth",
    "Spans",
    "Summary",
    "VehicleSpans",
    "append",
    "clocks_ahead",
    "cursor",
    "dead_list",
    "delete_frames",
    "delete_rollups",
    "delete_unused_signal_sets",
    "drop_partitions",
    "forget_progress",
    "list_partitions",
    "make_ahead",
    "make_rollup_partitions",
    "newest_frames",
    "open_connection",
    "orphans",
    "purge_vehicle",
    "read_batches",
    "read_bounds",
    "read_changes",
    "read_frames",
    "read_history",
    "read_hours",
    "read_latest",
    "read_summary",
    "scan_frames",
    "scan_signals",
    "sink_health",
    "sizes",
    "trim_batches",
    "trim_rejected",
    "write_hours",
    "write_rejections",
]
