"""What OBD answers mean: trouble codes, VIN, formulas, and which queries are let through."""

from __future__ import annotations

from typing import Dict, List

import pytest
from motorpool_collector.driver import CollectorError
from motorpool_collector.obd import answers, codes
from motorpool_collector.obd.answers import parse
from motorpool_collector.obd.formulas import formula_value


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("03014301960234", ["P0143", "P0196", "P0234"]),  # CAN: a count first
        ("014301960234", ["P0143", "P0196", "P0234"]),  # older buses: none
        ("014300000000", ["P0143"]),
        ("0143FFFFFFFF", ["P0143"]),
        ("00", []),
        ("", []),
        ("01C123", ["U0123"]),
        ("0141239000", ["C0123", "B1000"]),
    ],
)
def test_trouble_codes_are_decoded(data: str, expected: list[str]) -> None:
    assert codes.trouble_codes(bytes.fromhex(data)) == expected


def test_a_count_of_more_codes_than_there_are_is_an_error() -> None:
    with pytest.raises(CollectorError, match="1 of 3"):
        codes.trouble_codes(bytes.fromhex("030143"))


def test_a_vin_keeps_its_digits() -> None:
    assert codes.vin_of(b"\x01" + b"1FADP3L97DL000018") == "1FADP3L97DL000018"
    assert codes.vin_of(b"\x00\x00\x001FADP3L97DL000010\x00\x00") == "1FADP3L97DL000010"
    assert codes.vin_of(b"\x01short") == ""


@pytest.mark.parametrize(
    ("formula", "data", "value"),
    [
        ("(A*256+B)/4", "1AF8", 1726),
        ("a - 40", "1AF8", -14),
        ("(A & 15) << 2 | 1", "1AF8", 41),
        ("SIGNED(A)", "FE", -2),
        ("SIGNED(A*256+B)", "00C8", 200),
        ("SIGNED(A*256+B)/10", "FF38", -20),
        ("SIGNED(A)*256+B", "FF38", -200),
        ("INT16(A:B)", "FF38", -200),
        ("int16(a, b)", "FF38", -200),
        ("{A:7}", "80", 1),
        ("BIT(A,0)+2*{A:1}", "02", 2),
        ("A^2", "05", 25),
        ("A**0.5", "10", 4),
        ("POW(A,2)-ABS(0-B)", "0302", 7),
        ("~A & 255", "F0", 15),
        ("MAX(A,B)", "0307", 7),
    ],
)
def test_h14_formulas_have_signs_bits_and_powers(formula: str, data: str, value: float) -> None:
    assert formula_value(formula, bytes.fromhex(data)) == pytest.approx(value)


def test_o15_a_formula_names_every_byte_of_a_long_answer() -> None:
    data = bytes(range(61))
    assert formula_value("AA*256+AB", data) == 26 * 256 + 27
    assert formula_value("BI", data) == 60
    with pytest.raises(CollectorError, match="has no byte BJ: it has 61"):
        formula_value("BJ", data)


def test_formulas_compute_and_nothing_else() -> None:
    data = bytes([0x1A, 0xF8])
    for formula in (
        "__import__('os')", "A.real", "9**9**9", "C", "1/0", "A if B else 1", "(", "'x'", "1<<9999", "[A]", "A^A^A^A",
        "SIGNED(A,999)", "OPEN(A)", "ROUND()", "INT16(A)", "INT8(B*B)", "BIT(A,-1)", "SQRT(0-A)", "LOG(0)", "EXP(9999)",
        "A*"*99 + "A", "lambda: 1", "MAX(*A)", "MAX(A, key=B)", "-" * 199 + "A",
    ):  # fmt: skip
        try:
            value = formula_value(formula, data)
        except CollectorError:
            continue
        assert value in (26, -26), formula


def test_queries_that_change_the_car_are_refused() -> None:
    assert codes.request_of("22 1e 1c") == bytes.fromhex("221E1C")
    assert codes.request_of("020C") == bytes.fromhex("020C00")
    for pid in ("04", "3101FF00", "2E0102", "1101", "01", "xyz", "01 0", ""):
        with pytest.raises(CollectorError):
            codes.request_of(pid)
    for header in ("7", "7E0 X", "7E00", "FFF", "18DA10F1F1"):
        with pytest.raises(CollectorError, match="header"):
            codes.header_of(header)


@pytest.mark.parametrize(
    ("lines", "request_", "protocol", "expected"),
    [
        (["7E8 03 41 0D 32"], "010D", "6", {"7E8": "32"}),
        (["7E803410D32"], "010D", "6", {"7E8": "32"}),
        (["7E803410D32AAAAAAAA"], "010D", "", {"7E8": "32"}),
        (["18 DA F1 10 03 41 0D 32"], "010D", "7", {"10": "32"}),
        (["18DAF11003410D32"], "010D", "", {"10": "32"}),
        (["48 6B 10 41 0D 32 43"], "010D", "3", {"10": "32"}),
        (["83 F1 11 41 0D 32 F5"], "010D", "5", {"11": "32"}),
        (["41 0D 32"], "010D", "6", {"car": "32"}),
        (["7E8 04 41 0C 1A"], "010C", "6", {}),  # cut off
        (["7E8 04 41 0C 1A F"], "010C", "6", {}),
        (["7E8 04 41 0C 1A F8 <DATA ERROR"], "010C", "6", {}),
        (["48 6B 10 43 01 33 00 00 00 00 E1", "48 6B 11 43 01 43 00 00 00 00 E1"], "03", "3",
         {"10": "013300000000", "11": "014300000000"}),
        (["48 6B 10 43 01 33 01 34 01 35 E1", "48 6B 10 43 01 36 00 00 00 00 E1"], "03", "3",
         {"10": "013301340135013600000000"}),
        (["48 6B 10 49 02 02 41 42 43 44 0", "48 6B 10 49 02 01 00 00 00 31 00", "48 6B 10 49 02 02 41 42 43 44 00"],
         "0902", "3", {"10": "0000003141424344"}),
        # A long answer: out of order, twice, with another unit's in between.
        (["7E8 10 0A 61 01 01 02 03 04", "7E9 03 41 0D 00", "7E8 21 05 06 07 08", "7E8 21 05 06 07 08"],
         "2101", "6", {"7E8": "0102030405060708"}),
        (["7E8 10 10 61 01 01 02 03 04", "7E8 22 0C 0D 0E", "7E8 21 05 06 07 08 09 0A 0B"],
         "2101", "6", {"7E8": "0102030405060708090A0B0C0D0E"}),
        (["7E8 10 0A 61 01 01 02 03 04"], "2101", "6", {}),
    ],
)  # fmt: skip
def test_lines_become_answers(lines: list[str], request_: str, protocol: str, expected: dict[str, str]) -> None:
    answer = parse(lines, bytes.fromhex(request_), protocol)
    assert {unit: data.hex().upper() for unit, data in answer.data.items()} == expected


@pytest.mark.parametrize(
    ("lines", "protocol", "expected"),
    [
        (["SEARCHING...7E8 04 41 0C 0C 80"], "6", {"7E8": "0c80"}),
        (["BUS INIT: ...OK", "48 6B 10 41 0C 0C 80 C0"], "3", {"10": "0c80"}),
        (["7E8 8 04 41 0C 0C 80 00 00 00"], "6", {"7E8": "0c80"}),
        (["80 F1 10 04 41 0C 0C 80 25"], "5", {"10": "0c80"}),
    ],
)
def test_o9_what_adapters_write_around_an_answer(lines: List[str], protocol: str, expected: Dict[str, str]) -> None:
    found = answers.parse(lines, b"\x01\x0c", protocol)
    assert {unit: data.hex() for unit, data in found.data.items()} == expected


def test_o12_a_bus_that_was_reached_and_has_no_answer_is_no_failure() -> None:
    assert answers.parse(["BUS INIT: OK", "NO DATA"], b"\x0a", "3").unreachable == ""
    assert answers.parse(["BUS INIT: ...ERROR"], b"\x0a", "3").unreachable


def test_o1_a_code_that_pads_is_no_code() -> None:
    assert codes.trouble_codes(bytes.fromhex("010301AAAA"), True) == ["P0301"]


def test_h14_a_formula_cannot_hold_the_agent_up() -> None:
    with pytest.raises(CollectorError, match="ROUND"):
        formula_value("ROUND(A, 0-3000000)", b"\x01")
