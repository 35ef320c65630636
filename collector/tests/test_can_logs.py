"""CAN logs of several programs, and DBC files as they are."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from motorpool_collector.can_decoding import Decoder, parameter_group
from motorpool_collector.driver import CollectorError
from motorpool_collector.recordings import Recording, read_any

START = 1_795_860_000.0  # 2026-11-28T10:00:00Z

DBC = """VERSION ""
BU_: A
BO_ 256 Wheel: 8 A
 SG_ Speed : 0|16@1+ (0.01,0) [0|655.35] "km/h" A
 SG_ Yaw : 16|16@1+ (0.244,-125) [0|65535] "deg/s" A
 SG_ Temp : 32|8@1+ (1,-40) [-40|200] "C" A
BO_ 2364540158 EEC1: 8 A
 SG_ EngineSpeed : 24|16@1+ (0.125,0) [0|8031.875] "rpm" A
BO_ 2566844926 CCVS1: 8 A
 SG_ WheelSpeed : 8|16@1+ (0.00390625,0) [0|250.996] "km/h" A
"""


@pytest.fixture
def dbc(tmp_path: Path) -> str:
    file = tmp_path / "car.dbc"
    file.write_text(DBC)
    return str(file)


def read(folder: Path, dbc: str, name: str, text: str, **options: Any) -> Recording:
    file = folder / name
    file.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return read_any(str(file), dbc=dbc, **options)


def speeds(recording: Recording) -> "list[tuple[float, Any]]":
    name = "can.wheel.speed"
    return [(f.time, f.values[name]) for f in recording.frames if name in f.values]


def account(recording: Recording) -> str:
    return "\n".join(recording.lines())


FRAME = "64 00 02 02 32 00 00 00"


@pytest.mark.parametrize("address", ["00", "03", "FE", "17"])
def test_k1_j1939_is_matched_by_parameter_group(tmp_path: Path, dbc: str, address: str) -> None:
    found = read(tmp_path, dbc, "t.log", f"(1795860000.0) can0 0CF004{address}#FFFFFF6813FFFFFF\n")
    assert found.frames[0].values == {"can.eec1.enginespeed": 621}
    other = read(tmp_path, dbc, "u.log", f"(1795860000.0) can0 18FEF1{address}#FF000AFFFFFFFFFF\n")
    assert other.frames[0].values == {"can.ccvs1.wheelspeed": 10}
    assert parameter_group(0x18DA10F1) == 0xDA00


def test_k1_not_available_is_no_value(tmp_path: Path, dbc: str) -> None:
    found = read(tmp_path, dbc, "t.log", "(1795860000.0) can0 0CF00400#FFFFFFFFFFFFFFFF\n")
    assert found.frames == []
    assert "not available" in account(found)


ASC = """date Sat Nov 28 10:00:00.000 am 2026
base hex  timestamps absolute
{events}   0.000000 1  100             Rx   d 8 64 00 02 02 32 00 00 00
   0.500000 2  100             Rx   d 8 C8 00 02 02 32 00 00 00
   1.000000 1  Statistic: D 0 R 0 XD 0 XR 0 E 0 O 0 B 0.00%
   1.500000 1  CF00403x        Rx   d 8 FF FF FF 68 13 FF FF FF
   not a line of this format
"""


@pytest.mark.parametrize(
    "events", ["internal events logged\n", "no internal events logged\n", "// version 9.0.0\n", ""]
)
def test_k2_h12_an_asc_file_has_a_date_and_loses_no_frame(tmp_path: Path, dbc: str, events: str) -> None:
    found = read(tmp_path, dbc, "t.asc", ASC.format(events=events))
    assert speeds(found) == [(START, 1.0), (START + 0.5, 2.0)]
    assert found.frames[-1].values == {"can.eec1.enginespeed": 621}
    assert "left out 1: lines that are no frame" in account(found)
    berlin = read(tmp_path, dbc, "t.asc", ASC.format(events=events), timezone="Europe/Berlin")
    assert berlin.frames[0].time == START - 3600


def test_k2_dates_in_german_decimal_identifiers_and_relative_times(tmp_path: Path, dbc: str) -> None:
    text = (
        "date Sam Nov 28 10:00:00 2026\nbase dec  timestamps relative\n"
        "   0.000000 1  256  Rx d 8 100 0 2 2 50 0 0 0\n   0.500000 1  256  Rx d 8 200 0 2 2 50 0 0 0\n"
        "   0.500000 CANFD   1 Rx        256  Wheel  0 0 8  8 100 0 2 2 50 0 0 0 0\n"
    )
    assert speeds(read(tmp_path, dbc, "t.asc", text)) == [(START, 1.0), (START + 0.5, 2.0), (START + 1, 1.0)]
    okt = text.replace("Nov 28", "Okt 28")
    assert read(tmp_path, dbc, "t.asc", okt).frames[0].time == START - 31 * 86400


def test_k2_an_asc_file_without_a_date_asks_for_it(tmp_path: Path, dbc: str) -> None:
    text = "base hex timestamps absolute\n   0.0 1 100 Rx d 8 64 00 02 02 32 00 00 00\n"
    with pytest.raises(CollectorError, match="--start"):
        read(tmp_path, dbc, "t.asc", text)
    assert read(tmp_path, dbc, "t.asc", text, start="2026-11-28T10:00:00").frames[0].time == START


@pytest.mark.parametrize(
    "line",
    [
        " (1795860000.000000)  can0  100   [8]  64 00 02 02 32 00 00 00",
        " (2026-11-28 10:00:00.000000)  can0  100   [8]  64 00 02 02 32 00 00 00   'd...2...'",
        "(1795860000.000000) can0 100#6400020232000000",
        "(1795860000.000000) can0 100#6400020232000000 R",
        "(1795860000.000000) can0 100##16400020232000000",
        " (1795860000.000000)  can0  RX - -  100   [8]  64 00 02 02 32 00 00 00",
    ],
)
def test_k4_candump_is_read_as_it_is_shown_too(tmp_path: Path, dbc: str, line: str) -> None:
    assert speeds(read(tmp_path, dbc, "t.log", line + "\n")) == [(START, 1.0)]


def test_k4_candump_without_times_is_said(tmp_path: Path, dbc: str) -> None:
    with pytest.raises(CollectorError, match="candump -L"):
        read(tmp_path, dbc, "t.log", "  can0  100   [8]  64 00 02 02 32 00 00 00\n")
    with pytest.raises(CollectorError, match="no line that candump writes"):
        read(tmp_path, dbc, "t.log", "Nov 28 10:00:00 host kernel: hello\n")


def test_h12_a_foreign_line_is_skipped_and_counted(tmp_path: Path, dbc: str) -> None:
    lines = "(1795860000.0) can0 100#6400020232000000\n--- cut ---\n(1795860001.0) can0 100#64000\n(1795860002.0) can0 100#C800\n"
    found = read(tmp_path, dbc, "t.log", lines)
    assert [value for _, value in speeds(found)] == [1.0, 2.0]
    assert "left out 2: lines that are no frame (first in line 2: '--- cut ---')" in account(found)


@pytest.mark.parametrize(("raw", "expected"), [("0202", 0.416), ("0001", -62.536), ("F401", -3.0), ("0000", -125)])
def test_h2_values_outside_the_range_of_a_dbc_file_are_kept_and_named(
    tmp_path: Path, dbc: str, raw: str, expected: float
) -> None:
    found = read(tmp_path, dbc, "t.log", f"(1795860000.0) can0 100#6400{raw}32000000\n")
    assert found.frames[0].values["can.wheel.yaw"] == pytest.approx(expected)
    assert ("outside the range that the DBC file gives: Wheel.Yaw (1)" in account(found)) == (expected < -0.122)


def test_h3_a_wide_identifier_is_another_one(tmp_path: Path, dbc: str) -> None:
    found = read(tmp_path, dbc, "t.log", "(1795860000.0) can0 00000100#6400020232000000\n")
    assert found.frames == []
    assert "1 that no DBC file knows" in account(found)
    decoder = Decoder([dbc])
    assert decoder.frame(START, 0x100, bytes.fromhex("6400020232000000"), True) is None
    assert decoder.frame(START, 0x100, bytes.fromhex("6400020232000000"), False) is not None
    assert decoder.frame(START, 0x0CF004FE, bytes(8), False) is None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("savvy.csv", "Time Stamp,ID,Extended,Bus,LEN,D1,D2,D3,D4,D5,D6,D7,D8\n0,00000100,false,0,8,64,00,02,02,32,00,00,00\n"),
        ("savvy.csv", "Time Stamp,ID,Extended,Dir,Bus,LEN,D1,D2,D3,D4,D5,D6,D7,D8\n"
                      "1795860000000000,00000100,false,Rx,0,8,64,00,02,02,32,00,00,00,\n"),
        ("hacker.trc", "Time   ID     DLC Data                    Comment\n00.000 100    8 64 00 02 02 32 00 00 00\n"),
        ("t.asc.gz", ASC.format(events="").replace("   0.5", "   // 0.5")),
    ],
)  # fmt: skip
def test_h9_logs_of_other_programs(tmp_path: Path, dbc: str, name: str, text: str) -> None:
    assert speeds(read(tmp_path, dbc, name, text, start="2026-11-28T10:00:00"))[0] == (START, 1.0)


def test_h9_owntracks_recordings_are_tracks(tmp_path: Path) -> None:
    file = tmp_path / "2026-11.rec"
    file.write_text(
        '2026-11-28T10:00:00Z\t*\t{"_type":"location","lat":52.1,"lon":5.1,"tst":1795860000,"vel":36,"batt":80,"cog":-1}\n'
        '2026-11-28T10:00:01Z\tlwt\t{"_type":"lwt","tst":1795860001}\nbroken\n'
    )
    found = read_any(str(file))
    assert [(f.time, f.values) for f in found.frames] == [
        (
            START,
            {"location.latitude": 52.1, "location.longitude": 5.1, "location.speed": 36, "device.battery_level": 80},
        )
    ]
    assert "no location" in account(found)


def test_h9_what_is_not_supported_is_named(tmp_path: Path, dbc: str) -> None:
    for name in ("t.json", "t.xlsx", "t.fit"):
        (tmp_path / name).write_text("{}")
        with pytest.raises(CollectorError, match="not supported"):
            read_any(str(tmp_path / name), dbc=dbc)
    (tmp_path / "t.csv").write_text("time,engine.rpm\n1795860000,1\n")
    with pytest.raises(CollectorError, match="no CAN log"):
        read_any(str(tmp_path / "t.csv"), dbc=dbc)


def test_h10_channels_have_the_files_number(tmp_path: Path, dbc: str) -> None:
    found = read(tmp_path, dbc, "t.asc", ASC.format(events=""), channel="2")
    assert speeds(found) == [(START + 0.5, 2.0)]


def test_h3_error_frames_are_no_data_and_the_raw_length_is_no_part_of_it(tmp_path: Path, dbc: str) -> None:
    text = "(1795860000.0) can0 20000100#0004000000000000\n(1795860000.1) can0 100#6400020232000000_B\n"
    found = read(tmp_path, dbc, "t.log", text)
    assert speeds(found) == [(START + 0.1, 1.0)]
    assert found.left_out["lines that are no frame"].count == 1


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (["000.000000", "000.500000", "000.500000", "000.500000"], [0, 0.5, 1.0, 1.5]),
        (["000.000000", "000.500000", "001.000000", "001.500000"], [0, 0.5, 1.0, 1.5]),
    ],
)
def test_k4_times_since_the_start_and_since_the_frame_before(
    tmp_path: Path, dbc: str, times: "list[str]", expected: "list[float]"
) -> None:
    lines = [f" ({time})  can0  100   [8]  {FRAME}" for time in times]
    found = read(tmp_path, dbc, "t.log", "\n".join(lines), start="2026-11-28T10:00:00")
    assert [time - START for time, _ in speeds(found)] == expected


def test_h2_times_that_go_back_do_not_silence_a_signal(tmp_path: Path, dbc: str) -> None:
    lines = [f"({START + second:.1f}) can0 100#6400020232000000" for second in (0.1, 100.2, 0.3, 0.4)]
    found = read(tmp_path, dbc, "t.log", "\n".join(lines))
    assert len(speeds(found)) == 4
