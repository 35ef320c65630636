"""Tables that other programs write in ways that are easy to misread."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import pytest
from motorpool_collector.driver import CollectorError
from motorpool_collector.recordings.times import parse_date, start_in, start_of
from test_tables import START, account, read, values

AT = "2026-11-28T10:00:00"


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-28 10:34:36", "2026-11-28T09:34:36-01", "2026-11-28 11:34:36 UTC+1", "20261128T103436Z",
        "20261128103436", "Nov 28, 2026, 10:34:36 AM", "28-NOV-26 10:34:36", "Sat, 28 Nov 2026 10:34:36 GMT",
        "Samstag, 28. November 2026 10:34:36", "28. 11. 2026 10:34:36", "2026-11-28 10.34.36",
        "28 de noviembre de 2026 10:34:36", "28/11/2026 10:34:36 a. m.", "Sat Nov 28 10:34:36 2026",
        "28 listopada 2026 10:34:36",
    ],
)  # fmt: skip
def test_c8_dates_in_many_forms(text: str) -> None:
    found = parse_date(text)
    assert found is not None
    assert not found.ambiguous
    moment = found.moment
    offset = moment.utcoffset()
    assert (moment - offset if offset else moment).replace(tzinfo=None) == datetime(2026, 11, 28, 10, 34, 36)


@pytest.mark.parametrize("text", ["26/11/08 10:00:00", "08/11/2026 10:00:00"])
def test_c8_dates_that_could_be_two_are_not_guessed(text: str) -> None:
    found = parse_date(text)
    assert found is not None
    assert found.ambiguous


@pytest.mark.parametrize(
    ("lines", "hour"),
    [
        (["# Start: 2026-11-28T10:00:00+02:00"], 8),
        (["# Recorded 2026-11-28 10:00:00 PM"], 22),
        (["# StartTime = 11/28/2026 10:00:00.0000 PM"], 22),
        (["Date;28.11.2026", "Start;10:00:00"], 10),
        (['"Date","Saturday, November 28, 2026"', '"Time","10:00 AM"'], 10),
        (["Date: 28.11.2026", "Time: 10:00:00"], 10),
    ],
)
def test_c6_lines_before_the_header_say_when_a_recording_began(lines: List[str], hour: int) -> None:
    found = start_of("", "drive.csv", lines)
    assert found is not None
    offset = found.utcoffset()
    assert (found - offset if offset else found).replace(tzinfo=None) == datetime(2026, 11, 28, hour, 0)


@pytest.mark.parametrize(
    "name", ["trackLog-2026-Nov-28_10-00-00", "20261128_1000", "log 20261128100000", "drive_2026-11-28_10-00-00"]
)
def test_c6_names_of_files_say_when_a_recording_began(name: str) -> None:
    assert start_in(name) == datetime(2026, 11, 28, 10, 0)


@pytest.mark.parametrize(
    ("text", "expected", "words"),
    [
        (  # a unit that is also the name of a time column makes no header
            "SECONDS;PID;VALUE;UNITS\n0.5;Injection time;2.1;ms\n1;Engine RPM;812;rpm\n2;Engine RPM;813;rpm\n",
            [(1.0, {"engine.rpm": 812}), (2.0, {"engine.rpm": 813})],
            "names that are not known",
        ),
        (  # a row of units below the header
            "time,rpm,speed\nms,rpm,mph\n1000,800,20\n",
            [(1.0, {"engine.rpm": 800, "vehicle.speed": pytest.approx(32.18688)})],
            "",
        ),
        (  # a decimal comma that splits a cell
            "time,Engine RPM(rpm),Speed (OBD)(km/h)\n0,812,5,60,2\n1,812,60\n",
            [(1.0, {"engine.rpm": 812, "vehicle.speed": 60})],
            "rows with more cells than the header",
        ),
        (  # three decimals are no thousands
            "time;rpm;fuel.rate;engine.load\n0;812.500;1.234;12.345\n",
            [(0.0, {"engine.rpm": 812.5, "fuel.rate": 1.234, "engine.load": 12.345})],
            "",
        ),
        (  # lines before the header have two cells as well
            "Date;28.11.2026\nStart;10:00:00\nTime;RPM;Speed [km/h]\n0,5;800;20,5\n",
            [(0.5, {"engine.rpm": 800, "vehicle.speed": 20.5})],
            "",
        ),
        ('time,rpm\n0,"oops\n1,801\n2,802\n', [(1.0, {"engine.rpm": 801}), (2.0, {"engine.rpm": 802})], "not a number"),
        (  # the seconds begin again
            "Time (s),rpm\n0.5,800\n100.5,801\nTime (s),Engine Load(%),rpm\n0.5,20,900\n",
            [(0.5, {"engine.rpm": 800}), (100.5, {"engine.rpm": 801})],
            "the seconds begin again",
        ),
        (  # each value brings its unit
            "time,Coolant temp,vehicle speed\n0,194 °F,30 km/h\n1,90,30\n",
            [(0.0, {"engine.coolant_temp": pytest.approx(90), "vehicle.speed": 30})],
            "without a unit",
        ),
        ("time,Speed (OBD)(km/h),vehicle speed (km/h)\n0,30,31\n", [(0.0, {"vehicle.speed": 30})], "a further column"),
        ("time,rpm,engine.load\n0,inf,20\n", [(0.0, {"engine.load": 20})], "not a finite number"),
        ("Time,rpm\n10:00:00.5,800\n10:00:01.5,801\n", [(0.5, {"engine.rpm": 800}), (1.5, {"engine.rpm": 801})], ""),
        ("elapsed,rpm\n00:01:23.5,800\n", [(83.5, {"engine.rpm": 800})], ""),
        ("Name;Value;Unit;Time\nEngine RPM;812;rpm;0\n", [(0.0, {"engine.rpm": 812})], ""),
    ],
)  # fmt: skip
def test_c1_c2_c5_what_is_read_and_what_is_counted(
    tmp_path: Path, text: str, expected: List[Tuple[float, Dict[str, Any]]], words: str
) -> None:
    found = read(tmp_path, text, start=AT)
    assert [(frame.time - START, frame.values) for frame in found.frames] == expected
    assert words in account(found)


def test_c6_a_time_of_day_goes_on_after_midnight(tmp_path: Path) -> None:
    found = read(tmp_path, "Time,rpm\n23:59:59,800\n00:00:01,801\n", start="2026-11-28T23:59:00")
    assert found.frames[1].time - found.frames[0].time == 2


def test_c10_a_phone_that_names_its_zone_is_followed_through_the_end_of_summer_time(tmp_path: Path) -> None:
    text = (
        "Device Time,GPS Time,Engine RPM(rpm)\n"
        "25-Oct-2026 02:59:58.000,Sun Oct 25 02:59:58 GMT+02:00 2026,800\n"
        "25-Oct-2026 02:00:03.000,Sun Oct 25 02:00:03 GMT+01:00 2026,801\n"
    )
    found = read(tmp_path, text)
    assert found.frames[1].time - found.frames[0].time == 5
    assert values(found, "engine.rpm") == [800, 801]


def test_c10_a_zone_in_the_header_holds(tmp_path: Path) -> None:
    found = read(tmp_path, "Time (UTC),rpm\n2026-11-28 10:00:00,800\n", timezone="Europe/Berlin")
    assert found.frames[0].time == START


@pytest.mark.parametrize(
    ("units", "speed"), [({"*Speed": "mph"}, 48.28032), ({"Speed (OBD)(km/h)": "mph"}, 48.28032), ({}, None)]
)
def test_h7_a_unit_is_given_for_a_name_as_the_file_has_it(
    tmp_path: Path, units: Dict[str, str], speed: Optional[float]
) -> None:
    header = "Speed (OBD)(km/h)" if any("OBD" in name for name in units) else "Speed"
    found = read(tmp_path, f"time,{header}\n0,30\n", units=units, start=AT) if units else None
    if found is not None:
        assert values(found, "vehicle.speed") == [pytest.approx(speed)]


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("time,Speed\n0,30\n", {"units": {"Sped": "mph"}}, "no column 'sped'"),
        ("time;rpm\n0;1\n", {"delimiter": "::"}, "A delimiter is one character"),
        ("time,rpm\n46354.416666,800\n", {}, "day numbers of a spreadsheet"),
        ("time,rpm\n0,800\n", {"start": "soon"}, "no date with a time"),
    ],
)
def test_c6_messages_say_what_to_do(tmp_path: Path, text: str, options: Dict[str, Any], words: str) -> None:
    with pytest.raises(CollectorError, match=words):
        read(tmp_path, text, **{"start": AT, **options})


def test_c6_a_start_may_be_epoch_milliseconds_and_a_column_may_be_named_with_its_unit(tmp_path: Path) -> None:
    found = read(tmp_path, "T [ms],rpm\n1500,800\n", start="1795860000000", time_column="T [ms]")
    assert found.frames[0].time == START + 1.5


def test_h2_lines_of_brackets_are_counted(tmp_path: Path) -> None:
    text = "[" * 100_000 + '\n{"source": "obd", "time": 1795860000.0, "values": {"engine.rpm": 1.0}}\n'
    found = read(tmp_path, text, name="drive.jsonl")
    assert len(found.frames) == 1
    assert found.left_out["lines that are not whole"].count == 1
