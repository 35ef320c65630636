"""Geofences on the globe against a geodesic oracle, and what they refuse; live and by backtest."""

from __future__ import annotations

import itertools
import json
import math
import random
import time
from typing import Any

import numpy as np
import pytest
import shapely
from pyproj import Geod, Transformer

from alerts.models import AlertRule, Geofence
from alerts.rules.fences import MARGIN_M, NoFence, fence_of
from alerts.rules.positions import positions_of
from alerts.services import fence_save
from tests.alerts.making import alerts_of, evaluate, make_rule, send
from tests.conftest import Team
from tests.portal import Portal

GLOBE = Geod(ellps="WGS84")
POSITIONS = ("location.longitude", "location.latitude")


def random_fence(rng: random.Random) -> tuple[dict[str, Any], float | None, float, float, float]:
    """A GeoJSON geometry, its radius, and its middle and size in metres; places all over the globe."""
    longitude = rng.choice([rng.uniform(-180, 180), 180.0, -179.9999, 179.99, 0.0])
    latitude = rng.choice([rng.uniform(-89.9, 89.9), rng.uniform(-60, 60), 89.99, -89.99, 0.0])
    size = 10 ** rng.uniform(1.3, 5)
    kind = rng.choice(["circle", "polygon", "corridor"])
    if kind == "circle":
        return {"type": "Point", "coordinates": [longitude, latitude]}, size, longitude, latitude, size
    corners = 4 if kind == "corridor" else rng.randrange(3, 9)
    turns = sorted(rng.uniform(0, 360) for _ in range(corners))
    points = [list(GLOBE.fwd(longitude, latitude, turn, size * rng.uniform(0.4, 1))[:2]) for turn in turns]
    if kind == "corridor":
        return {"type": "LineString", "coordinates": points}, size / 5, longitude, latitude, size * 1.2
    return {"type": "Polygon", "coordinates": [[*points, points[0]]]}, None, longitude, latitude, size


def oracle(geometry: dict[str, Any], radius: float | None, longitude: float, latitude: float) -> Any:
    """Metres inside (positive) or outside (negative) of a fence, by shapely on PROJ's azimuthal equidistant plane."""
    plane = Transformer.from_crs(
        "EPSG:4326", f"+proj=aeqd +lat_0={latitude} +lon_0={longitude} +ellps=WGS84", always_xy=True
    )
    if geometry["type"] == "Point":
        x, y = geometry["coordinates"]
        return lambda points: radius - np.array([GLOBE.inv(x, y, *point)[2] for point in points])
    line = geometry["coordinates"] if geometry["type"] == "LineString" else geometry["coordinates"][0]
    dense: list[tuple[float, float]] = []
    for start, end in itertools.pairwise(line):
        between = GLOBE.inv_intermediate(*start, *end, npts=40, return_back_azimuth=False)
        dense += [tuple(start), *zip(between.lons, between.lats, strict=True)]
    dense.append(tuple(line[-1]))
    flat = np.stack(plane.transform(*np.array(dense).T), axis=1)
    if geometry["type"] == "LineString":
        path = shapely.LineString(flat)
        return lambda points: radius - shapely.distance(path, shapely.points(*plane.transform(*np.array(points).T)))
    area = shapely.Polygon(flat)

    def depth(points: Any) -> Any:
        there = shapely.points(*plane.transform(*np.array(points).T))
        away = shapely.distance(area.exterior, there)
        return np.where(shapely.contains(area, there), away, -away)

    return depth


def compare(seed: int, fences: int, points: int) -> int:
    """Random fences and tracks; how many positions were compared."""
    rng = random.Random(seed)
    compared = 0
    for number in range(fences):
        geometry, radius, longitude, latitude, size = random_fence(rng)
        try:
            fence = fence_of(geometry, radius)
        except NoFence:
            continue  # corners in one line, or a corridor whose points are one
        track = [
            GLOBE.fwd(longitude, latitude, rng.uniform(0, 360), size * rng.uniform(0, 1.6))[:2] for _ in range(points)
        ]
        depth = oracle(geometry, radius, longitude, latitude)(track)
        x, y = np.array(track).T
        clear = np.abs(depth) > 1.0
        assert (fence.inside(x, y)[clear] == (depth[clear] > 0)).all(), (seed, number, geometry, radius)
        sides = fence.sides(x, y)
        certain = ~np.isnan(sides)
        assert (sides[certain & clear] == (depth[certain & clear] > 0)).all()
        assert np.isnan(sides)[(depth < -1) & (depth > 1 - MARGIN_M)].all()  # the margin outside
        compared += int(clear.sum())
    return compared


@pytest.mark.parametrize("seed", range(4))
def test_g8_fences_agree_with_a_geodesic_oracle(seed: int) -> None:
    assert compare(seed, 150, 50) > 5_000


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10))
def test_g8_a_hundred_thousand_fences_and_tracks_agree(seed: int) -> None:
    assert compare(1_000 + seed, 10_000, 12) > 80_000


@pytest.mark.parametrize(
    ("geometry", "radius", "inside", "outside"),
    [
        ({"type": "Point", "coordinates": [179.99, 10]}, 5_000, [(-179.99, 10), (179.99, 10)], [(170, 10), (-179.9, 10)]),
        ({"type": "Polygon", "coordinates": [[[179, -1], [-179, -1], [-179, 1], [179, 1], [179, -1]]]}, None,
         [(180, 0), (-180, 0), (179.5, 0), (-179.5, 0.5)], [(0, 0), (178.9, 0), (-178.9, 0)]),
        ({"type": "MultiPolygon", "coordinates": [
            [[[179, -1], [180, -1], [180, 1], [179, 1], [179, -1]]],
            [[[-180, -1], [-179, -1], [-179, 1], [-180, 1], [-180, -1]]]]}, None,
         [(180, 0), (-180, 0), (-179.99999, 0)], [(0, 0), (178.9, 0)]),
        ({"type": "Polygon", "coordinates": [[[x, 85] for x in (0, 60, 120, 180, -120, -60, 0)]]}, None,
         [(0, 90), (33, 89), (-150, 87)], [(0, 80), (90, 84)]),
        ({"type": "LineString", "coordinates": [[179.9, 0], [-179.9, 0]]}, 1_000, [(180, 0.005), (-179.95, 0)], [(0, 0), (180, 0.1)]),
    ],
)  # fmt: skip
def test_g8_the_antimeridian_and_the_poles_are_places_like_any_other(
    geometry: Any, radius: float | None, inside: Any, outside: Any
) -> None:
    fence = fence_of(geometry, radius)
    for points, expected in ((inside, 1.0), (outside, 0.0)):
        x, y = np.array(points, float).T
        assert (fence.inside(x, y) == expected).all()
        assert (fence.sides(x, y) == expected).all()


@pytest.mark.parametrize(
    ("geometry", "radius", "words"),
    [
        ({"type": "Polygon", "coordinates": [[[-170, 0], [0, 0], [170, 0], [170, 10], [-170, 10], [-170, 0]]]}, None, "km"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]]}, None, "crosses itself"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [0, 0], [0, 0]]]}, None, "encloses nothing"),
        ({"type": "Point", "coordinates": [0, 0]}, float("inf"), "radius"),
        ({"type": "Point", "coordinates": [0, 0]}, None, "radius"),
        ({"type": "Point", "coordinates": [0, 0]}, 3e6, "2,000 km"),
        ({"type": "LineString", "coordinates": [[0, 0], [1, 0]]}, 60_000, "50 km"),
        ({"type": "LineString", "coordinates": [[0, 0], [0, 0]]}, 10, "apart"),
        ({"type": "Point", "coordinates": [200, 0]}, 10, "degrees"),
        ({"type": "Point", "coordinates": [None, 0]}, 10, "GeoJSON"),
        ({"type": "Teapot"}, None, "GeoJSON"),
        ({"type": "Point", "coordinates": []}, 10, "points"),
        ({"type": "LineString", "coordinates": [[i / 100, 0] for i in range(1_500)]}, 10, "1000 points"),
        ({"type": "LineString", "coordinates": [[0, i % 2 * 8] for i in range(1_000)]}, 100, "5,000 km long"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]], []]}, None, "no points|GeoJSON"),
        ({"type": "Point", "coordinates": [0, 0]}, "10", "radius"),
    ],
)  # fmt: skip
def test_x2_what_is_no_fence_is_refused_in_words(geometry: Any, radius: Any, words: str) -> None:
    with pytest.raises(NoFence, match=words):
        fence_of(geometry, radius)


def test_x2_a_tangle_of_points_costs_nothing() -> None:
    rng = random.Random(1)
    begun = time.process_time()
    for kind in ("Polygon", "LineString"):
        points = [[rng.random() / 20, rng.random() / 20] for _ in range(900)]
        geometry: Any = {"type": kind, "coordinates": [[*points, points[0]]] if kind == "Polygon" else points}
        if kind == "Polygon":
            with pytest.raises(NoFence, match="crosses itself"):
                fence_of(geometry)
        else:
            fence = fence_of(geometry, 5_000)
            fence.sides(np.full(100, 0.025), np.linspace(0, 0.05, 100))
    assert time.process_time() - begun < 3


def fence(team: Team, geometry: Any, radius: float | None) -> Geofence:
    row = Geofence(organization=team.organization, name=f"fence {random.random()}")
    return fence_save(fence=row, user=team.users["admin"], geometry=geometry, radius=radius)


def at(place: tuple[float, float], **more: float) -> dict[str, Any]:
    return {"location.longitude": place[0], "location.latitude": place[1], **more}


def backtest(portal: Portal, team: Team, rule: AlertRule) -> list[Any]:
    with portal.client(team.tokens["operator"]) as client:
        path = f"/api/v1/alert-rules/backtest?vehicle={team.vehicle.public_id}"
        answer = client.post(path, json={"condition": rule.condition})
        assert answer.status_code == 200, answer.text
        return list(answer.json()["episodes"])


@pytest.mark.parametrize("noise", [2.0, 6.0])
def test_g12_parked_on_a_border_is_no_traffic(portal: Portal, team: Team, noise: float) -> None:
    middle = (5.1, 52.1)
    rules = [
        make_rule(team, {"geofence": fence(team, {"type": "Point", "coordinates": middle}, 500.0).public_id, "event": event}, name=event)
        for event in ("enter", "exit")
    ]  # fmt: skip
    rng = random.Random(7)
    border = GLOBE.fwd(*middle, 90, 500)[:2]
    now = time.time()
    readings = [
        (now - 610 + i, at(GLOBE.fwd(*border, rng.uniform(0, 360), rng.uniform(0, noise))[:2])) for i in range(600)
    ]
    for start in range(0, 600, 150):
        send(portal, team, *readings[start : start + 150], source="gps")
        evaluate()
    assert not alerts_of(team)
    assert [backtest(portal, team, rule) for rule in rules] == [[], []]
    drive = [(now - 9 + i, at(GLOBE.fwd(*middle, 90, 540 - 20 * i)[:2])) for i in range(9)]
    send(portal, team, *drive, source="gps")
    evaluate()
    assert len(alerts_of(team)) <= 1  # where it stood at first decides; one way in is one alert


def test_g12_a_vague_position_does_not_enter(portal: Portal, team: Team) -> None:
    middle = (5.1, 52.1)
    make_rule(
        team, {"geofence": fence(team, {"type": "Point", "coordinates": middle}, 500.0).public_id, "event": "exit"}
    )
    now = time.time()
    send(portal, team, (now - 30, at(middle)), source="gps")
    outside = GLOBE.fwd(*middle, 90, 540)[:2]
    send(portal, team, (now - 20, at(outside, **{"location.accuracy": 80.0})), source="gps")
    evaluate()
    assert not alerts_of(team)
    send(portal, team, (now - 10, at(outside, **{"location.accuracy": 5.0})), source="gps")
    evaluate()
    assert len(alerts_of(team)) == 1


@pytest.mark.parametrize(("gap", "expected"), [(60, 1), (1_000, 0), (10, 0)])
def test_g6_a_crossing_is_inferred_over_a_short_gap_at_a_speed_that_is_driven(
    portal: Portal, team: Team, gap: int, expected: int
) -> None:
    middle = (5.1, 52.1)
    rule = make_rule(
        team, {"geofence": fence(team, {"type": "Point", "coordinates": middle}, 200.0).public_id, "event": "enter"}
    )
    now = time.time()
    before, after = (GLOBE.fwd(*middle, turn, 600)[:2] for turn in (270, 90))
    send(portal, team, (now - 20 - gap, at(before)), source="gps")
    send(portal, team, (now - 20, at(after)), source="gps")
    evaluate()
    assert len(backtest(portal, team, rule)) == expected
    assert len(alerts_of(team)) == expected


def test_g11_latitude_and_longitude_in_messages_of_their_own_are_paired(portal: Portal, team: Team) -> None:
    middle = (5.1, 52.1)
    rule = make_rule(
        team, {"geofence": fence(team, {"type": "Point", "coordinates": middle}, 500.0).public_id, "event": "enter"}
    )
    now = time.time()
    for i, metres in enumerate([900, 700, 300, 100]):
        longitude, latitude = GLOBE.fwd(*middle, 45, metres)[:2]
        moment = now - 60 + 10 * i
        send(portal, team, (moment, {"location.latitude": latitude}), source="gps")
        send(portal, team, (moment + 0.8, {"location.longitude": longitude}), source="gps")
    evaluate()
    assert len(alerts_of(team)) == 1
    assert len(backtest(portal, team, rule)) == 1


def test_g11_halves_that_are_far_apart_make_no_place() -> None:
    class Rows:
        """Latitude at 0 s, longitude at 60 s, both at 70 s, then halves at 80 and 81 s."""

        times = np.array([0, 60, 70, 80, 81], np.int64) * 1_000_000
        group = np.zeros(5, np.int32)
        columns = {1: np.array([np.nan, 5, 6, np.nan, 7]), 2: np.array([50.0, np.nan, 51, 52, np.nan])}
        told: dict[int, Any] = {}

    rows, x, y, _ = positions_of(Rows(), (1, 2, 3))  # type: ignore[arg-type]
    assert (rows.tolist(), x.tolist(), y.tolist()) == ([2, 4], [6, 7], [51, 52])


@pytest.mark.parametrize(
    "body",
    [
        b'{"name": "x", "geometry": {"type": "Point", "coordinates": [0, 0]}, "radius": ' + b"9" * 400 + b"}",
        b'{"name": "x", "geometry": {"type": "Feature", "properties": "odd", "geometry": null}}',
        b'{"name": "x", "geometry": ' + b"[" * 500 + b"]" * 500 + b"}",
        b'{"name": "x", "geometry": {"type": "Point", "coordinates": [NaN, 0]}, "radius": 5}',
        b'{"name": "a\\u0000b", "geometry": {"type": "Point", "coordinates": [0, 0]}, "radius": 5}',
    ],
)
def test_x14_odd_geometries_are_refused(portal: Portal, team: Team, body: bytes) -> None:
    with portal.client(team.tokens["operator"], **{"Content-Type": "application/json"}) as client:
        answer = client.post("/api/v1/geofences", content=body)
    assert 400 <= answer.status_code < 500, answer.text
    assert json.loads(answer.text)["detail"]


def test_margins_of_small_fences_are_small() -> None:
    tiny = fence_of({"type": "Point", "coordinates": [5.1, 52.1]}, 5.0)
    assert tiny.sides(np.array([5.1]), np.array([52.1]))[0] == 1
    assert not math.isnan(tiny.sides(np.array([5.2]), np.array([52.1]))[0])


def test_g12_accuracy_counts_on_the_way_in_as_on_the_way_out() -> None:
    fence = fence_of({"type": "Point", "coordinates": [5.1, 52.1]}, 500.0)
    longitude, latitude, _ = GLOBE.fwd(5.1, 52.1, 90, 485)
    place = (np.array([longitude]), np.array([latitude]))
    assert fence.sides(*place)[0] == 1
    assert math.isnan(fence.sides(*place, np.array([100.0]))[0])
