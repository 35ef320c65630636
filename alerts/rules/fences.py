"""Geofences: circles, polygons and corridors as areas of longitude and latitude, and who is inside.

Buffers are made on a plane that touches the Earth at the shape's centre (equirectangular), which is good to 0.1 % for
what fits into a few hundred kilometres.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
import shapely.affinity
from shapely.geometry import LineString, Point, shape
from shapely.geometry.base import BaseGeometry

from telemetry.readings import Times, Values

METRES_PER_DEGREE = 111_195.0
"""Of latitude: a degree of a great circle of the mean Earth radius, 6,371,008.8 m (IUGG)."""
LONGEST_STEP = 600_000_000
"""Two positions further apart in time (microseconds) say nothing of what lay between them."""
MOST_POINTS = 5_000
LARGEST = 2_000_000.0


class NoFence(ValueError):
    """What was given is no fence: the words say why."""


@dataclass(frozen=True)
class Fence:
    """An area, prepared to be asked often."""

    area: BaseGeometry

    def inside(self, longitudes: Values, latitudes: Values) -> Values:
        """1 inside, 0 outside, by position."""
        west, south, east, north = self.area.bounds
        near = (longitudes >= west) & (longitudes <= east) & (latitudes >= south) & (latitudes <= north)
        found = np.zeros(len(longitudes))
        if near.any():
            found[near] = shapely.contains_xy(self.area, longitudes[near], latitudes[near])
        return found

    def passed_through(self, longitudes: Values, latitudes: Values, times: Times, same: Any, inside: Values) -> Any:
        """By position: whether the straight way from the one before it leads through, both of them being outside.

        Args:
            same: by position, whether the one before it is the same vehicle's.
        """
        west, south, east, north = self.area.bounds
        before = slice(None, -1)
        after = slice(1, None)
        candidates = same[after] & (inside[before] == 0) & (inside[after] == 0)
        candidates &= times[after] - times[before] <= LONGEST_STEP
        for values, low, high in ((longitudes, west, east), (latitudes, south, north)):
            candidates &= np.maximum(values[before], values[after]) >= low
            candidates &= np.minimum(values[before], values[after]) <= high
        passed = np.zeros(len(longitudes), bool)
        rows = np.flatnonzero(candidates)
        if len(rows):
            ends = np.stack([np.stack([longitudes[rows + i], latitudes[rows + i]], axis=1) for i in (0, 1)], axis=1)
            passed[rows + 1] = shapely.intersects(self.area, shapely.linestrings(ends))
        return passed


def fence_of(geometry: Mapping[str, Any], radius: float | None = None) -> Fence:
    """A fence from a GeoJSON geometry (RFC 7946): a Point or a LineString with a radius in metres, or a polygon.

    Raises:
        NoFence: it is none, or too large.
    """
    try:
        found = shape(dict(geometry))
    except Exception as error:
        raise NoFence("This is no GeoJSON geometry.") from error
    if found.is_empty or shapely.get_num_coordinates(found) > MOST_POINTS:
        raise NoFence(f"A fence has 1 to {MOST_POINTS} points.")
    coordinates = shapely.get_coordinates(found)
    if not np.isfinite(coordinates).all() or (np.abs(coordinates) > (180, 90)).any():
        raise NoFence("Coordinates are longitude, then latitude, in degrees.")
    if found.geom_type in ("Point", "LineString"):
        if radius is None or not 0 < radius <= LARGEST:
            raise NoFence("A circle or a corridor needs a radius in metres.")
        found = _buffer(found, radius)
    elif found.geom_type not in ("Polygon", "MultiPolygon"):
        raise NoFence("A fence is a Point, a LineString, a Polygon or a MultiPolygon.")
    if not found.is_valid:
        found = shapely.make_valid(found)
    if found.geom_type not in ("Polygon", "MultiPolygon") or found.area == 0:
        raise NoFence("The outline crosses itself or encloses nothing.")
    shapely.prepare(found)
    return Fence(found)


def _buffer(found: Point | LineString, radius: float) -> BaseGeometry:
    centre = found.centroid
    stretch = math.cos(math.radians(min(89.0, abs(centre.y))))
    scale = (METRES_PER_DEGREE * stretch, METRES_PER_DEGREE)
    plane = shapely.affinity.scale(found, *scale, origin=(centre.x, centre.y))
    wide = plane.buffer(radius, quad_segs=32)
    back: BaseGeometry = shapely.affinity.scale(wide, 1 / scale[0], 1 / scale[1], origin=(centre.x, centre.y))
    return back
