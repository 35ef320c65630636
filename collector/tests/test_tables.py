"""Tables of readings as apps and people write them: delimiters, encodings, numbers, units, times."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, Dict, List

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from motorpool_collector.driver import CollectorError
from motorpool_collector.recordings import Recording, read_any

from motorpool_formats.signals import BY_NAME

START = 1_795_860_000.0  # 2026-11-28T10:00:00Z


def read(folder: Path, text: Any, name: str = "drive.csv", **options: Any) -> Recording:
    file = folder / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_any(str(file), **options)


def values(recording: Recording, signal: str) -> List[Any]:
    return [frame.values[signal] for frame in recording.frames if signal in frame.values]


def account(recording: Recording) -> str:
    return "\n".join(recording.lines())


TABLE = "time;Engine RPM(rpm);Throttle(%)\n2026-11-28 10:00:00;812;87,5\n2026-11-28 10:00:01;813;88,25\n"


@pytest.mark.parametrize(
    "content",
    [
        TABLE,
        TABLE.replace(";", "\t"),
        TABLE.replace(",", ".").replace(";", ","),
        TABLE.replace(";", "|"),
        TABLE.encode("utf-16"),
        b"\xef\xbb\xbf" + TABLE.encode(),
        TABLE.encode("utf-16-le"),
        "# exported by an app\nVehicle: van 3\n\n" + TABLE,
        TABLE.replace("\n", "\r\n"),
    ],
)
def test_c1_delimiters_encodings_and_lines_before_the_header(tmp_path: Path, content: Any) -> None:
    found = read(tmp_path, content)
    assert values(found, "engine.rpm") == [812, 813]
    assert values(found, "engine.throttle") == [87.5, 88.25]
    assert found.frames[0].time == START


def test_c1_one_reading_a_row_as_car_scanner_writes_them(tmp_path: Path) -> None:
    text = (
        '"SECONDS";"PID";"VALUE";"UNITS"\n"0.1";"Engine RPM";"812";"rpm"\n"0.1";"Vehicle speed";"50";"km/h"\n'
        '"0.6";"Engine coolant temperature";"194";"°F"\n"0.7";"Intake manifold absolute pressure";"1,0";"bar"\n'
        '"0.8";"Something";"1";"x"\n"0.9";"Vehicle speed";"50";"furlongs"\n'
    )
    found = read(tmp_path, text, "2026-11-28 10-00-00.csv")
    assert [frame.time - START for frame in found.frames] == pytest.approx([0.1, 0.6, 0.7])
    assert found.frames[0].values == {"engine.rpm": 812, "vehicle.speed": 50}
    assert values(found, "engine.coolant_temp") == [pytest.approx(90)]
    assert values(found, "engine.intake_pressure") == [100]
    assert "not known" in account(found)
    assert "furlongs" in account(found)


def test_c1_what_is_no_table_is_said_with_its_first_line(tmp_path: Path) -> None:
    with pytest.raises(CollectorError, match=r"no column for the time.*'hello world'.*--time-column"):
        read(tmp_path, "hello world\n1\n")


def test_c2_a_decimal_comma_in_quotes_is_read_and_what_is_dropped_is_counted(tmp_path: Path) -> None:
    found = read(tmp_path, 'time,engine.rpm,engine.throttle\n1795860000,812,"87,5"\n1795860001,813,lol\n')
    assert values(found, "engine.throttle") == [87.5]
    assert "left out 1: not a number (first in line 3: 'lol')" in account(found)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1.234,5", "12,5"], [1234.5, 12.5]), (["1,234.5", "12.5"], [1234.5, 12.5]), (["1.234.567,0", "1,5"], [1234567, 1.5]),
        (["0,125", "3,5"], [0.125, 3.5]), (["1,500", "2,25"], [1.5, 2.25]), (["1,500", "2.25"], [1500, 2.25]),
    ],
)  # fmt: skip
def test_c2_thousands_and_decimals_are_told_apart(tmp_path: Path, cells: List[str], expected: List[float]) -> None:
    rows = "".join(f'{1795860000 + i}\t"{cell}"\n' for i, cell in enumerate(cells))
    assert values(read(tmp_path, "time\tmy.value\n" + rows), "my.value") == expected


def test_c2_a_number_of_two_meanings_is_counted_not_guessed(tmp_path: Path) -> None:
    text = 'time,my.value,engine.rpm\n1795860000,"1,500",800\n1795860001,"2,250",801\n'
    assert "two ways" in account(read(tmp_path, text))
    assert values(read(tmp_path, text, decimal=","), "my.value") == [1.5, 2.25]
    assert values(read(tmp_path, text, decimal="."), "my.value") == [1500, 2250]


@pytest.mark.parametrize("unit", ["°F", "ºF", "degF", "deg F", "F", "℉", "Fahrenheit", "Â°F"])
def test_c3_fahrenheit_by_any_spelling(tmp_path: Path, unit: str) -> None:
    text = f"time,Engine Coolant Temp({unit}),engine.rpm\n1795860000,194,800\n"
    for encoding in ["utf-8", "utf-16", *(["latin-1"] if unit != "℉" else [])]:
        assert values(read(tmp_path, text.encode(encoding)), "engine.coolant_temp") == [pytest.approx(90)]


@pytest.mark.parametrize("unit", ["°X", "\ufffdF", "?F", "V", "furlong", "km/h", "degR"])
def test_c3_a_unit_that_is_not_understood_is_never_the_right_one(tmp_path: Path, unit: str) -> None:
    found = read(tmp_path, f"time,Engine Coolant Temp({unit}),engine.rpm\n1795860000,194,800\n")
    assert values(found, "engine.coolant_temp") == []
    assert f"column 'Engine Coolant Temp({unit})' is left out" in account(found)


@pytest.mark.parametrize(
    ("title", "signal", "value", "expected"),
    [
        ("Boost(inHg)", "engine.boost", 10, 33.86389), ("MAF(lb/min)", "engine.maf", 1, 7.559873),
        ("Oil Pressure(kg/cm2)", "engine.oil_pressure", 2, 196.133), ("Oil Pressure(kg/cm²)", "engine.oil_pressure", 2, 196.133),
        ("GPS Speed(knots)", "location.speed", 10, 18.52), ("GPS Speed [kt]", "location.speed", 10, 18.52),
        ("Speed(m/s)", "vehicle.speed", 10, 36), ("Boost(mmHg)", "engine.boost", 100, 13.33224),
        ("MAF(kg/h)", "engine.maf", 36, 10), ("Altitude(ft)", "location.altitude", 100, 30.48),
        ("Oil Temp(K)", "engine.oil_temp", 373.15, 100), ("Odometer(mi)", "vehicle.odometer", 10, 16.09344),
        ("Voltage (Control Module)(mV)", "electrical.voltage", 12500, 12.5),
    ],
)  # fmt: skip
def test_c4_units_that_apps_use_are_converted(
    tmp_path: Path, title: str, signal: str, value: float, expected: float
) -> None:
    found = read(tmp_path, f"time,{title}\n1795860000,{value}\n")
    assert values(found, signal) == [pytest.approx(expected, rel=1e-5)], account(found)


def test_c5_a_second_header_moves_the_columns(tmp_path: Path) -> None:
    text = (
        "time,Engine RPM(rpm),Speed(km/h)\n1795860000,800,10\n"
        "time,Speed(mph),Throttle(%),Engine RPM(rpm)\n1795860001,10,20,900\n"
    )
    found = read(tmp_path, text)
    assert values(found, "engine.rpm") == [800, 900]
    assert values(found, "vehicle.speed") == [10, pytest.approx(16.09344)]
    assert values(found, "engine.throttle") == [20]


def test_c6_times_since_the_start_need_a_start(tmp_path: Path) -> None:
    text = "time (s),engine.rpm\n0,800\n0.5,801\n"
    with pytest.raises(CollectorError, match=r"count from the start.*--start"):
        read(tmp_path, text)
    for found in (
        read(tmp_path, text, start="2026-11-28T10:00:00"),
        read(tmp_path, text, start="1795860000"),
        read(tmp_path, text, "trip_2026-11-28_10-00-00.csv"),
        read(tmp_path, text, "20261128_100000.csv"),
        read(tmp_path, "Started: 2026-11-28 10:00:00\n" + text),
        read(tmp_path, "Start 28.11.2026 10:00:00\n" + text),
        read(tmp_path, text.replace("(s)", "(ms)").replace("0.5", "500"), start="2026-11-28 10:00:00"),
        read(tmp_path, text, start="2026-11-28 11:00:00", timezone="Europe/Berlin"),
    ):
        assert [frame.time - START for frame in found.frames] == [0, 0.5]


@pytest.mark.parametrize(
    ("text", "timezone"),
    [
        ("28-Okt.-2026 12:00:00", "Europe/Berlin"), ("28.10.2026 12:00:00", "Europe/Berlin"), ("10/28/2026 11:00:00", "UTC"),
        ("28/10/2026 11:00:00", "UTC"), ("10/28/2026 11:00:00 AM", "UTC"), ("28-oct-2026 11:00:00.000", "UTC"),
        ("28 octobre 2026 11:00:00", "UTC"), ("28-out-2026 11:00", "UTC"), ("2026/10/28 11:00:00", "UTC"),
        ("2026-10-28T12:00:00+01:00", "UTC"), ("2026-10-28 11:00:00 UTC", "Europe/Berlin"), ("Oct 28, 2026 11:00:00", "UTC"),
        ("2026-10-28T11:00:00.000000000Z", ""), ("28.10.26 11:00", "UTC"), ("1793185200", ""), ("1793185200000", ""),
        ("Wed Oct 28 13:00:00 GMT+02:00 2026", "UTC"),
    ],
)  # fmt: skip
def test_c8_dates_are_recognized_where_they_can_be(tmp_path: Path, text: str, timezone: str) -> None:
    found = read(tmp_path, f'time;engine.rpm\n"{text}";800\n', timezone=timezone)
    assert found.frames[0].time == 1_793_185_200


def test_c8_one_date_tells_the_order_of_all(tmp_path: Path) -> None:
    rows = "03/11/2026 10:00:00,800\n28/11/2026 10:00:00,801\n"
    assert [f.time for f in read(tmp_path, "time,engine.rpm\n" + rows).frames][-1] == START
    with pytest.raises(CollectorError, match=r"03/11/2026 10:00:00.*told apart.*--date-format"):
        read(tmp_path, "time,engine.rpm\n03/11/2026 10:00:00,800\n")
    given = read(tmp_path, "time,engine.rpm\n03/11/2026 10:00:00,800\n", date_format="%d/%m/%Y %H:%M:%S")
    assert given.frames[0].time == 1_793_700_000


def test_c8_a_form_that_is_not_known_is_shown(tmp_path: Path) -> None:
    with pytest.raises(CollectorError, match=r"line 2 says 'the fifth of May'.*--date-format"):
        read(tmp_path, "time,engine.rpm\nthe fifth of May,800\n")


def test_c8_a_date_and_a_time_of_day_may_stand_apart(tmp_path: Path) -> None:
    found = read(tmp_path, "Date,Time,engine.rpm\n11/28/2026,10:00:00,800\n11/28/2026,10:00:01.5,801\n")
    assert [frame.time - START for frame in found.frames] == [0, 1.5]


def test_c10_the_hour_that_comes_twice_is_told_by_what_came_before(tmp_path: Path) -> None:
    begin = 1_792_882_800  # 2026-10-25T01:00+02:00 in Berlin; summer time ends two hours later
    berlin = [("01" if i < 6 else "02" if i < 18 else "03", i % 6 * 10) for i in range(24)]
    rows = "".join(f"2026-10-25 {hour}:{minute:02}:00,{800 + i}\n" for i, (hour, minute) in enumerate(berlin))
    found = read(tmp_path, "time,engine.rpm\n" + rows, timezone="Europe/Berlin")
    assert [frame.time for frame in found.frames] == [begin + 600 * i for i in range(24)]
    assert values(found, "engine.rpm") == [800 + i for i in range(24)]
    unnamed = read(tmp_path, "time,engine.rpm\n" + rows)
    assert "go back" in account(unnamed)
    assert "share their time" in account(unnamed)


def test_h4_rows_of_the_same_second_are_counted_and_may_be_spread(tmp_path: Path) -> None:
    text = "time,engine.rpm\n" + "".join(f"2026-11-28 10:00:0{i // 4},{800 + i}\n" for i in range(12))
    found = read(tmp_path, text)
    assert len(found.frames) == 3
    assert "left out 9: readings that share their time with a later row; --spread" in account(found)
    spread = read(tmp_path, text, spread=True)
    assert [frame.time - START for frame in spread.frames] == [i / 4 for i in range(12)]
    assert values(spread, "engine.rpm") == [800 + i for i in range(12)]
    gpx = '<gpx><trk><trkseg>' + "".join(
        f'<trkpt lat="52.{i}" lon="5"><time>2026-11-28T10:00:00Z</time></trkpt>' for i in range(4)
    ) + "</trkseg></trk></gpx>"  # fmt: skip
    assert "share their time" in account(read(tmp_path, gpx, "t.gpx"))
    assert len(read(tmp_path, gpx, "t.gpx", spread=True).frames) == 4


@pytest.mark.parametrize(("lat", "lon"), [("lat", "lon"), ("Latitude", "Longitude"), ("LAT", "LNG"), ("lat", "long")])
def test_h7_usual_names_of_position(tmp_path: Path, lat: str, lon: str) -> None:
    found = read(tmp_path, f"time,{lat},{lon}\n1795860000,52.1,5.1\n")
    assert found.frames[0].values == {"location.latitude": 52.1, "location.longitude": 5.1}


def test_h7_a_unit_that_is_not_given_is_asked_for_and_dropped_columns_are_named(tmp_path: Path) -> None:
    text = "time,speed,engine.rpm,Wind\n1795860000,10,800,3\n"
    found = read(tmp_path, text)
    assert values(found, "vehicle.speed") == []
    assert "values of 'speed' without a unit (--unit 'speed'=UNIT names it)" in account(found)
    assert "not known: 'Wind'" in account(found)
    assert values(read(tmp_path, text, units={"speed": "m/s"}), "vehicle.speed") == [36]


def test_h8_cells_may_bring_their_unit(tmp_path: Path) -> None:
    text = "time,rpm,Intake Manifold Pressure(kPa),Engine Load(%)\n1795860000,2124RPM,100kPa,20%\n1795860001,2130 rpm,1bar,x\n"
    found = read(tmp_path, text + "1795860002,9 furlongs,1,1\n")
    assert values(found, "engine.rpm") == [2124, 2130]
    assert values(found, "engine.intake_pressure") == [100, 100, 1]
    assert "not a number (first in line 3: 'x')" in account(found)
    assert "furlongs" in account(found)


def test_h15_a_teslafi_export_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CollectorError, match="TeslaFi"):
        read(tmp_path, "data_id,Date,vehicle_id,battery_level,speed\n1,2026-11-28 10:00:00,1,50,30\n")


def test_what_stands_for_no_value_is_one_list_for_every_way_in(tmp_path: Path) -> None:
    rows = {name: s.no_value for name, s in BY_NAME.items() if s.no_value is not None}
    assert {"vehicle.speed", "engine.rpm", "engine.coolant_temp"} <= set(rows)
    text = f"time,my.value,{','.join(rows)}\n1795860000,1,{','.join(map(str, rows.values()))}\n"
    found = read(tmp_path, text)
    assert found.frames[0].values == {"my.value": 1}
    assert found.left_out['values that stand for "no value"'].count == len(rows)
    assert values(read(tmp_path, "time,Oil Temp(°F),my.value\n1795860000,419,1\n"), "engine.oil_temp") == []


TITLES = st.sampled_from(
    ["time", "Engine RPM(rpm)", "Speed(km/h)", "Speed(mph)", "speed", "lat", "lon", "Boost(psi)", "Boost(V)", "x", "", "(°F)",
     "Engine Coolant Temp(°F)", "seconds", "Date", "vehicle.gear", "PID", "VALUE"]
)  # fmt: skip
CELLS = st.one_of(
    st.sampled_from(["", "1795860000", "2026-11-28 10:00:00", "28.11.2026", "87,5", "1.5", "1,234", "NaN", "inf", "-", "9 km/h",
                     "1e999", "0x1A", "١٢", "2026-13-45 99:99:99", "99999999999999999999", "D", "²", "1_000"]),
    st.text(max_size=8), st.floats().map(str),
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(
    header=st.lists(TITLES, min_size=1, max_size=5),
    rows=st.lists(st.lists(CELLS, max_size=6), max_size=6),
    mark=st.sampled_from([",", ";", "\t", "|"]),
    encoding=st.sampled_from(["utf-8", "utf-16", "latin-1"]),
)
def test_any_table_gives_finite_readings_or_an_error_in_words(
    tmp_path_factory: pytest.TempPathFactory, header: List[str], rows: List[List[str]], mark: str, encoding: str
) -> None:
    text = "\n".join(mark.join(cells) for cells in [header, *rows])
    folder = tmp_path_factory.mktemp("tables", numbered=True)
    found = Recording()
    with contextlib.suppress(CollectorError):
        found = read(folder, text.encode(encoding, "replace"))
    checked: Dict[str, Any] = {}
    for frame in found.frames:
        assert 946_684_800 <= frame.time < 1e11
        checked.update(frame.values)
        for signal, value in frame.values.items():
            definition = BY_NAME.get(signal)
            assert isinstance(value, (str, bool)) or abs(value) < float("inf")
            assert not (definition and isinstance(value, float) and definition.is_no_value(value))
