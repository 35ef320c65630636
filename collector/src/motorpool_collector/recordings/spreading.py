"""Rows that share a time: put together where they complete each other, counted or spread where they do not."""

from __future__ import annotations

from itertools import groupby
from typing import Dict, List

from motorpool_collector.driver import Frame, Value
from motorpool_collector.recordings.summary import Recording


def merge_same_times(frames: List[Frame], recording: Recording, spread: bool) -> List[Frame]:
    """Frames in order of time with one frame for each moment.

    The portal keeps one value per signal and moment: of several the last one in the file is sent, and the others are
    counted in the recording's account.

    Args:
        spread: give rows with the same whole second their places within it, evenly, as loggers write them.
    """
    found: List[Frame] = []
    replaced = 0
    for moment, group in groupby(sorted(frames, key=lambda frame: frame.time), key=lambda frame: frame.time):
        same = list(group)
        if len(same) == 1:
            found.append(same[0])
            continue
        overlapping = len({name for frame in same for name in frame.values}) < sum(len(f.values) for f in same)
        if overlapping and spread and moment == int(moment):
            found += [Frame(round(moment + i / len(same), 6), frame.values) for i, frame in enumerate(same)]
            continue
        values: Dict[str, Value] = {}
        for frame in same:
            values.update(frame.values)
        replaced += sum(len(frame.values) for frame in same) - len(values)
        found.append(Frame(moment, values))
    if replaced:
        hint = "" if spread else "; --spread spreads rows evenly within their second"
        recording.leave_out(f"readings that share their time with a later row{hint}", count=replaced)
    return found
