"""Geofences on the globe: circles, polygons and corridors, which side of them a position is on, and what was crossed.

Distances are geodesic on WGS 84. A circle is what lies within its radius of the centre. A polygon's edges and a
corridor's line are geodesics between their points, the short way round, so that the antimeridian and the poles are
places like any other; they are computed on planes of equal distance around the middle of each part (azimuthal
equidistant), on which straight lines between close points differ from geodesics by less than a centimetre.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from alerts.rules.globe import GLOBE, NoFence, dense, distance, middle, on_plane
from telemetry.readings import Times, Values

MARGIN_M = 10.0
"""So far beyond the border a vehicle must be before it counts as on the other side, or as far as its accuracy."""
WIDEST_MARGIN_M = 200.0
SMALL = 0.3
"""Margins inside take at most so much of a fence's size."""
LONGEST_GAP = 300_000_000
"""Two positions further apart in time (microseconds) say nothing of what lay between them."""
FASTEST_M_S = 250 / 3.6
"""A straight way that takes more than this is no way that was driven."""
MOST_POINTS = 5_000
MOST_PARTS = 50
MOST_LINE_POINTS = 1_000
MOST_JOINED_POINTS = 1_000
"""Polygons of one fence that touch or overlap are joined up to so many points."""
WIDEST_M = 5_000_000.0
LARGEST_CIRCLE_M = 2_000_000.0
LARGEST_CORRIDOR_M = 50_000.0
LONGEST_CORRIDOR_M = 5_000_000.0
PIECE_M = 50_000.0
"""A corridor is computed in pieces of this length."""

__all__ = ["Fence", "NoFence", "fence_of"]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class _Part:
    """A piece of a fence on a plane of its own: metres east and north of its middle."""

    longitude: float
    latitude: float
    reach: float
    """No point of it is further from the middle, metres."""
    geometry: BaseGeometry
    border: BaseGeometry
    radius: float
    """Metres around the geometry that belong to it; 0 for a polygon."""
    size: float
    """What margins inside are measured by: a radius, or twice the area by the length of the border; metres."""
    core: BaseGeometry
    """What a way must touch to lead through: the polygon less the margin."""

    def plane(self, longitudes: Values, latitudes: Values) -> tuple[Values, Values]:
        """Positions as metres east and north of the middle, true in distance and direction from it."""
        count = len(longitudes)
        azimuth, _, metres = GLOBE.inv(
            np.full(count, self.longitude), np.full(count, self.latitude), longitudes, latitudes
        )
        radians = np.radians(azimuth)
        return metres * np.sin(radians), metres * np.cos(radians)

    def _inside(self, margin: Values) -> Values:
        """(n,): how far inside a vehicle must be to count as inside: less than ``margin`` where the fence is small."""
        inside: Values = np.fmin(margin, SMALL * self.size)
        return inside

    def sides(self, x: Values, y: Values, margin: Values) -> Values:
        """(n,): 1 inside and 0 outside by ``margin``, NaN between."""
        points = shapely.points(x, y)
        if self.radius:
            away = shapely.distance(self.geometry, points)
            found = np.where(away <= self.radius - self._inside(margin), 1.0, np.nan)
            found[away >= self.radius + margin] = 0.0
            return found
        inside = shapely.contains(self.geometry, points)
        near = shapely.dwithin(self.border, points, np.where(inside, self._inside(margin), margin))
        found = np.where(inside, 1.0, 0.0)
        found[near] = np.nan
        return found

    def contains(self, x: Values, y: Values) -> Flags:
        """(n,): inside or on the border."""
        points = shapely.points(x, y)
        if self.radius:
            found: Flags = shapely.dwithin(self.geometry, points, self.radius)
        else:
            found = shapely.intersects(self.geometry, points)
        return found

    def crossed(self, ends: Values) -> Flags:
        """(n,): whether a straight way leads through by more than the margin; ``ends``: (n, 2, 2), metres."""
        ways = shapely.linestrings(ends)
        if self.radius:
            found: Flags = shapely.dwithin(self.geometry, ways, self.radius - min(MARGIN_M, SMALL * self.size))
        else:
            found = shapely.intersects(self.core, ways)
        return found


@dataclass(frozen=True)
class Fence:
    """An area, prepared to be asked often."""

    parts: tuple[_Part, ...]

    def inside(self, longitudes: Values, latitudes: Values) -> Values:
        """(n,): 1 inside or on the border, 0 outside; degrees."""
        found = np.zeros(len(longitudes))
        for part, rows in self._near(longitudes, latitudes, 0.0):
            found[rows] = np.maximum(found[rows], part.contains(*part.plane(longitudes[rows], latitudes[rows])))
        return found

    def sides(self, longitudes: Values, latitudes: Values, accuracies: Values | None = None) -> Values:
        """(n,): 1 clearly inside, 0 clearly outside, NaN too close to the border to tell.

        Args:
            accuracies: (n,), metres, NaN where not known: the margin where it is wider than `MARGIN_M`.
        """
        margin = np.full(len(longitudes), MARGIN_M)
        if accuracies is not None:
            margin = np.fmin(np.fmax(margin, accuracies), WIDEST_MARGIN_M)
        found = np.zeros(len(longitudes))
        for part, rows in self._near(longitudes, latitudes, WIDEST_MARGIN_M):
            sides = part.sides(*part.plane(longitudes[rows], latitudes[rows]), margin[rows])
            # Inside of one part is inside; outside is outside of all.
            found[rows] = np.where((found[rows] == 1) | (sides == 1), 1.0, np.where(sides == 0, found[rows], np.nan))
        return found

    def passed_through(self, longitudes: Values, latitudes: Values, times: Times, same: Any, sides: Values) -> Any:
        """(n,): whether the straight way from the position before leads through, both being clearly outside.

        Args:
            times: (n,), microseconds.
            same: (n,), whether the one before is the same vehicle's.
            sides: (n,), as `sides` found them.
        """
        passed = np.zeros(len(longitudes), bool)
        gap = np.diff(times)
        rows = np.flatnonzero(same[1:] & (sides[:-1] == 0) & (sides[1:] == 0) & (gap <= LONGEST_GAP) & (gap > 0))
        if not len(rows):
            return passed
        _, _, metres = GLOBE.inv(longitudes[rows], latitudes[rows], longitudes[rows + 1], latitudes[rows + 1])
        plausible = metres <= FASTEST_M_S * gap[rows] / 1e6
        rows, metres = rows[plausible], metres[plausible]
        for part in self.parts:
            close = distance(part.longitude, part.latitude, longitudes[rows], latitudes[rows]) <= part.reach + metres
            some = rows[close]
            if len(some):
                before = part.plane(longitudes[some], latitudes[some])
                after = part.plane(longitudes[some + 1], latitudes[some + 1])
                ends = np.stack([np.stack(before, axis=1), np.stack(after, axis=1)], axis=1)
                passed[some + 1] |= part.crossed(ends)
        return passed

    def _near(self, longitudes: Values, latitudes: Values, margin: float) -> Iterator[tuple[_Part, NDArray[np.intp]]]:
        """The parts, each with the positions that are close enough to matter."""
        for part in self.parts:
            rows = np.flatnonzero(distance(part.longitude, part.latitude, longitudes, latitudes) <= part.reach + margin)
            if len(rows):
                yield part, rows


def fence_of(geometry: Mapping[str, Any], radius: float | None = None) -> Fence:
    """A fence from a GeoJSON geometry (RFC 7946): a Point or a LineString with a radius in metres, or a polygon.

    Raises:
        NoFence: it is none, crosses itself, or is too large.
    """
    try:
        found = shape(dict(geometry))
        coordinates = shapely.get_coordinates(found)
    except Exception as error:
        raise NoFence("This is no GeoJSON geometry.") from error
    if found.is_empty or not len(coordinates) or len(coordinates) > MOST_POINTS:
        raise NoFence(f"A fence has 1 to {MOST_POINTS} points.")
    if not np.isfinite(coordinates).all() or (np.abs(coordinates) > (180, 90)).any():
        raise NoFence("Coordinates are longitude, then latitude, in degrees: at most 180 and 90.")
    if found.geom_type in ("Point", "LineString"):
        if isinstance(radius, bool) or not isinstance(radius, int | float) or not 0 < radius < math.inf:
            raise NoFence("A circle or a corridor needs a radius in metres, more than 0.")
        make = _circle if found.geom_type == "Point" else _corridor
        return Fence(make(coordinates, float(radius)))
    if found.geom_type not in ("Polygon", "MultiPolygon"):
        raise NoFence("A fence is a Point, a LineString, a Polygon or a MultiPolygon.")
    polygons = list(found.geoms) if found.geom_type == "MultiPolygon" else [found]
    if len(polygons) > MOST_PARTS:
        raise NoFence(f"A fence has at most {MOST_PARTS} polygons.")
    return Fence(_polygons(polygons, len(coordinates)))


def _circle(coordinates: Values, radius: float) -> tuple[_Part, ...]:
    if radius > LARGEST_CIRCLE_M:
        raise NoFence(f"A circle's radius is at most {LARGEST_CIRCLE_M / 1000:,.0f} km.")
    longitude, latitude = coordinates[0, :2].tolist()
    return (_wide(shapely.Point(0, 0), longitude, latitude, radius, radius),)


def _corridor(coordinates: Values, radius: float) -> tuple[_Part, ...]:
    if radius > LARGEST_CORRIDOR_M:
        raise NoFence(f"A corridor's radius is at most {LARGEST_CORRIDOR_M / 1000:,.0f} km on each side.")
    if len(coordinates) > MOST_LINE_POINTS:
        raise NoFence(f"A corridor has at most {MOST_LINE_POINTS} points.")
    starts, ends = coordinates[:-1], coordinates[1:]
    metres = GLOBE.inv(starts[:, 0], starts[:, 1], ends[:, 0], ends[:, 1])[2]
    if sum(metres) > LONGEST_CORRIDOR_M:
        raise NoFence(f"A corridor is at most {LONGEST_CORRIDOR_M / 1000:,.0f} km long: split it.")
    line = dense(coordinates)
    if len(line) < 2:
        raise NoFence("A corridor needs two points that are apart.")
    parts = []
    first = 0
    while first < len(line) - 1:
        last, metres = first, 0.0
        while last < len(line) - 1 and (last == first or metres < PIECE_M):
            (x, y), (next_x, next_y) = line[last], line[last + 1]
            metres += GLOBE.inv(x, y, next_x, next_y)[2]
            last += 1
        piece = line[first : last + 1]
        longitude, latitude = middle(piece)
        plane = on_plane(piece, longitude, latitude)
        reach = float(np.hypot(*plane.T).max())
        parts.append(_wide(shapely.LineString(plane), longitude, latitude, radius, reach + radius))
        first = last
    return tuple(parts)


def _wide(geometry: BaseGeometry, longitude: float, latitude: float, radius: float, reach: float) -> _Part:
    shapely.prepare(geometry)
    return _Part(longitude, latitude, reach + 1.0, geometry, geometry, radius, radius, geometry)


def _polygons(polygons: Sequence[Any], points: int) -> tuple[_Part, ...]:
    everything = np.concatenate([shapely.get_coordinates(polygon) for polygon in polygons])
    longitude, latitude = middle(everything)
    _, _, metres = GLOBE.inv(
        np.full(len(everything), longitude), np.full(len(everything), latitude), everything[:, 0], everything[:, 1]
    )
    joined = len(polygons) > 1 and points <= MOST_JOINED_POINTS and max(metres) < WIDEST_M
    if joined:  # halves of an area that was cut at the antimeridian have no border between them
        flat = [_flat(polygon, longitude, latitude) for polygon in polygons]
        whole = shapely.union_all(shapely.set_precision(np.array(flat, object), 0.001))
        return (_area(whole, longitude, latitude),)
    parts = []
    for polygon in polygons:
        centre = middle(shapely.get_coordinates(polygon))
        parts.append(_area(_flat(polygon, *centre), *centre))
    return tuple(parts)


def _flat(polygon: Any, longitude: float, latitude: float) -> BaseGeometry:
    """A polygon on the plane around a middle; raises `NoFence` where it is too large or crosses itself."""
    rings = []
    for ring in (polygon.exterior, *polygon.interiors):
        if ring.is_empty:
            raise NoFence("A ring of a polygon has no points.")
        corners = shapely.get_coordinates(ring)
        rings.append((on_plane(corners, longitude, latitude), on_plane(dense(corners), longitude, latitude)))
    if any(np.hypot(*plane.T).max() > WIDEST_M for plane, _ in rings):
        raise NoFence(f"A fence reaches at most {WIDEST_M / 1000:,.0f} km from its middle: split it.")
    corners_only = shapely.Polygon(rings[0][0], [ring for ring, _ in rings[1:]])
    if not corners_only.is_valid:
        raise NoFence("The outline crosses itself or encloses nothing.")
    return shapely.Polygon(rings[0][1], [ring for _, ring in rings[1:]])


def _area(geometry: BaseGeometry, longitude: float, latitude: float) -> _Part:
    if geometry.geom_type not in ("Polygon", "MultiPolygon") or not geometry.is_valid or geometry.area <= 0:
        raise NoFence("The outline crosses itself or encloses nothing.")
    reach = float(np.hypot(*shapely.get_coordinates(geometry).T).max())
    size = 2 * geometry.area / geometry.length
    border, core = geometry.boundary, geometry.buffer(-min(MARGIN_M, SMALL * size), quad_segs=2)
    for prepared in (geometry, border, core):
        shapely.prepare(prepared)
    return _Part(longitude, latitude, reach + 1.0, geometry, border, 0.0, size, core)
