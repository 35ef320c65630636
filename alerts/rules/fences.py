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
from pyproj import Geod
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from telemetry.readings import Times, Values

GLOBE = Geod(ellps="WGS84")
MARGIN_M = 10.0
"""So far beyond the border a vehicle must be before it counts as on the other side, or as far as its accuracy."""
WIDEST_MARGIN_M = 200.0
LONGEST_GAP = 300_000_000
"""Two positions further apart in time (microseconds) say nothing of what lay between them."""
FASTEST_M_S = 250 / 3.6
"""A straight way that takes more than this is no way that was driven."""
MOST_POINTS = 5_000
MOST_PARTS = 50
MOST_LINE_POINTS = 1_000
MOST_JOINED_POINTS = 1_000
"""Polygons of one fence that touch or overlap are joined up to so many points."""
LONGEST_EDGE_M = 1_000_000.0
WIDEST_M = 5_000_000.0
LARGEST_CIRCLE_M = 2_000_000.0
LARGEST_CORRIDOR_M = 50_000.0
STEP_M = 10_000.0
"""Long edges get a point at least so often."""
PIECE_M = 50_000.0
"""A corridor is computed in pieces of this length."""
EARTH_METRES = 6_371_008.8
"""Mean radius (IUGG)."""

Flags = NDArray[np.bool_]


class NoFence(ValueError):
    """What was given is no fence: the words say why."""


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
    margin_inside: float
    """How far inside a vehicle must be to count as inside: `MARGIN_M`, less where the fence is small."""
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

    def sides(self, x: Values, y: Values, margin: Values) -> Values:
        """(n,): 1 inside by its margin, 0 outside by ``margin``, NaN between."""
        points = shapely.points(x, y)
        if self.radius:
            away = shapely.distance(self.geometry, points)
            found = np.where(away <= self.radius - self.margin_inside, 1.0, np.nan)
            found[away >= self.radius + margin] = 0.0
            return found
        inside = shapely.contains(self.geometry, points)
        near = shapely.dwithin(self.border, points, np.where(inside, self.margin_inside, margin))
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
            found: Flags = shapely.dwithin(self.geometry, ways, self.radius - self.margin_inside)
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
            accuracies: (n,), metres, NaN where not known: the margin outside where it is wider than `MARGIN_M`.
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
            close = _distance(part, longitudes[rows], latitudes[rows]) <= part.reach + metres
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
            rows = np.flatnonzero(_distance(part, longitudes, latitudes) <= part.reach + margin)
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
        if radius is None or not math.isfinite(radius) or radius <= 0:
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
    line = _dense(coordinates)
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
        longitude, latitude = _middle(piece)
        plane = _on_plane(piece, longitude, latitude)
        reach = float(np.hypot(*plane.T).max())
        parts.append(_wide(shapely.LineString(plane), longitude, latitude, radius, reach + radius))
        first = last
    return tuple(parts)


def _wide(geometry: BaseGeometry, longitude: float, latitude: float, radius: float, reach: float) -> _Part:
    shapely.prepare(geometry)
    margin = min(MARGIN_M, 0.3 * radius)
    return _Part(longitude, latitude, reach + 1.0, geometry, geometry, radius, margin, geometry)


def _polygons(polygons: Sequence[Any], points: int) -> tuple[_Part, ...]:
    everything = np.concatenate([shapely.get_coordinates(polygon) for polygon in polygons])
    longitude, latitude = _middle(everything)
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
        middle = _middle(shapely.get_coordinates(polygon))
        parts.append(_area(_flat(polygon, *middle), *middle))
    return tuple(parts)


def _flat(polygon: Any, longitude: float, latitude: float) -> BaseGeometry:
    """A polygon on the plane around a middle; raises `NoFence` where it is too large or crosses itself."""
    rings = []
    for ring in (polygon.exterior, *polygon.interiors):
        corners = shapely.get_coordinates(ring)
        rings.append((_on_plane(corners, longitude, latitude), _on_plane(_dense(corners), longitude, latitude)))
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
    margin = min(MARGIN_M, 0.3 * 2 * geometry.area / geometry.length)
    border, core = geometry.boundary, geometry.buffer(-margin, quad_segs=2)
    for prepared in (geometry, border, core):
        shapely.prepare(prepared)
    return _Part(longitude, latitude, reach + 1.0, geometry, border, 0.0, margin, core)


def _middle(coordinates: Values) -> tuple[float, float]:
    """The middle of some positions on the globe: the direction of their mean, degrees."""
    longitudes, latitudes = np.radians(coordinates).T
    x = (np.cos(latitudes) * np.cos(longitudes)).mean()
    y = (np.cos(latitudes) * np.sin(longitudes)).mean()
    z = np.sin(latitudes).mean()
    if math.sqrt(x * x + y * y + z * z) < 0.3:
        raise NoFence("A fence covers less than half of the globe.")
    return math.degrees(math.atan2(y, x)), math.degrees(math.atan2(z, math.hypot(x, y)))


def _on_plane(coordinates: Values, longitude: float, latitude: float) -> Values:
    """(n, 2): metres east and north of a middle."""
    count = len(coordinates)
    azimuth, _, metres = GLOBE.inv(
        np.full(count, longitude), np.full(count, latitude), coordinates[:, 0], coordinates[:, 1]
    )
    radians = np.radians(azimuth)
    return np.stack([metres * np.sin(radians), metres * np.cos(radians)], axis=1)


def _dense(coordinates: Values) -> Values:
    """A line with points on its geodesics at least every `STEP_M`; raises `NoFence` for an edge that is too long."""
    if len(coordinates) < 2:
        return coordinates
    starts, ends = coordinates[:-1], coordinates[1:]
    azimuths, _, metres = GLOBE.inv(starts[:, 0], starts[:, 1], ends[:, 0], ends[:, 1])
    if max(metres) > LONGEST_EDGE_M:
        raise NoFence(f"An edge is longer than {LONGEST_EDGE_M / 1000:,.0f} km: add points between.")
    points: list[list[float]] = [coordinates[0].tolist()]
    for start, end, azimuth, length in zip(starts.tolist(), ends.tolist(), azimuths, metres, strict=True):
        steps = math.ceil(length / STEP_M)
        for i in range(1, steps):
            longitude, latitude, _ = GLOBE.fwd(start[0], start[1], azimuth, length * i / steps)
            points.append([longitude, latitude])
        if length > 0:
            points.append(end)
    return np.array(points)


def _distance(part: _Part, longitudes: Values, latitudes: Values) -> Values:
    """(n,): metres from the part's middle, on a sphere: at most half a per cent too much, which is taken off."""
    east = np.radians(longitudes - part.longitude)
    north, middle = np.radians(latitudes), math.radians(part.latitude)
    half = np.sin((north - middle) / 2) ** 2 + np.cos(north) * math.cos(middle) * np.sin(east / 2) ** 2
    metres: Values = 0.993 * 2 * EARTH_METRES * np.arcsin(np.minimum(1.0, np.sqrt(half)))
    return metres
