"""Geodesics on WGS 84 for geofences: middles, planes around them, and lines with points close enough together."""

from __future__ import annotations

import math

import numpy as np
from pyproj import Geod

from telemetry.readings import Values

GLOBE = Geod(ellps="WGS84")
LONGEST_EDGE_M = 1_000_000.0
STEP_M = 10_000.0
"""Long edges get a point at least so often."""
EARTH_METRES = 6_371_008.8
"""Mean radius (IUGG)."""


class NoFence(ValueError):
    """What was given is no fence: the words say why."""


def middle(coordinates: Values) -> tuple[float, float]:
    """The middle of some positions on the globe: the direction of their mean, degrees."""
    longitudes, latitudes = np.radians(coordinates).T
    x = (np.cos(latitudes) * np.cos(longitudes)).mean()
    y = (np.cos(latitudes) * np.sin(longitudes)).mean()
    z = np.sin(latitudes).mean()
    if math.sqrt(x * x + y * y + z * z) < 0.3:
        raise NoFence("A fence covers less than half of the globe.")
    return math.degrees(math.atan2(y, x)), math.degrees(math.atan2(z, math.hypot(x, y)))


def on_plane(coordinates: Values, longitude: float, latitude: float) -> Values:
    """(n, 2): metres east and north of a middle."""
    count = len(coordinates)
    azimuth, _, metres = GLOBE.inv(
        np.full(count, longitude), np.full(count, latitude), coordinates[:, 0], coordinates[:, 1]
    )
    radians = np.radians(azimuth)
    return np.stack([metres * np.sin(radians), metres * np.cos(radians)], axis=1)


def dense(coordinates: Values) -> Values:
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


def distance(longitude: float, latitude: float, longitudes: Values, latitudes: Values) -> Values:
    """(n,): metres from a middle, on a sphere: at most half a per cent too much, which is taken off."""
    east = np.radians(longitudes - longitude)
    north, zero = np.radians(latitudes), math.radians(latitude)
    half = np.sin((north - zero) / 2) ** 2 + np.cos(north) * math.cos(zero) * np.sin(east / 2) ** 2
    metres: Values = 0.993 * 2 * EARTH_METRES * np.arcsin(np.minimum(1.0, np.sqrt(half)))
    return metres
