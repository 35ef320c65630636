"""The only door to frames, latest state and batches: nobody else writes SQL on them.

Every reading verb takes the organization. The verbs: append, latest, range and history, summary, purge.
"""

from telemetry.store.append import append, write_rejections
from telemetry.store.batches import BatchRow, read_batches
from telemetry.store.connections import cursor, open_connection
from telemetry.store.history import (
    History,
    Range,
    Series,
    Summary,
    read_bounds,
    read_frames,
    read_history,
    read_summary,
)
from telemetry.store.latest import LatestRow, read_latest
from telemetry.store.partitions import Partitions, make_ahead
from telemetry.store.purge import orphans, purge_vehicle, trim_rejected

__all__ = [
    "BatchRow",
    "History",
    "LatestRow",
    "Partitions",
    "Range",
    "Series",
    "Summary",
    "append",
    "cursor",
    "make_ahead",
    "open_connection",
    "orphans",
    "purge_vehicle",
    "read_batches",
    "read_bounds",
    "read_frames",
    "read_history",
    "read_latest",
    "read_summary",
    "trim_rejected",
    "write_rejections",
]
