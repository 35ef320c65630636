"""What OBD answers mean: trouble codes, VIN, formulas, and which queries are let through."""

from __future__ import annotations

import pytest
from motorpool_collector import obd_codes
from motorpool_collector.driver import CollectorError


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("03014301960234", ["P0143", "P0196", "P0234"]),  # CAN: a count first
        ("014301960234", ["P0143", "P0196", "P0234"]),  # older buses: none
        ("014300000000", ["P0143"]),
        ("00", []),
        ("", []),
        ("01C123", ["U0123"]),
        ("0141239000", ["C0123", "B1000"]),
    ],
)
def test_trouble_codes_are_decoded(data: str, expected: list[str]) -> None:
    assert obd_codes.trouble_codes(bytes.fromhex(data)) == expected


def test_a_vin_keeps_its_digits() -> None:
    assert obd_codes.vin_of(b"\x01" + b"1FADP3L97DL000018") == "1FADP3L97DL000018"
    assert obd_codes.vin_of(b"\x00\x00\x001FADP3L97DL000010\x00\x00") == "1FADP3L97DL000010"
    assert obd_codes.vin_of(b"\x01short") == ""


def test_formulas_compute_and_nothing_else() -> None:
    data = bytes([0x1A, 0xF8])
    assert obd_codes.formula_value("(A*256+B)/4", data) == 1726
    assert obd_codes.formula_value("a - 40", data) == -14
    assert obd_codes.formula_value("(A & 15) << 2 | 1", data) == 41
    for formula in ("__import__('os')", "A.real", "A**9**9", "C", "1/0", "A if B else 1", "(", "'x'", "1<<9999", "[A]"):
        with pytest.raises(CollectorError):
            obd_codes.formula_value(formula, data)


def test_queries_that_change_the_car_are_refused() -> None:
    assert obd_codes.request_of("22 1e 1c") == b"221E1C"
    for pid in ("04", "3101FF00", "2E0102", "1101", "01", "xyz", "01 0", ""):
        with pytest.raises(CollectorError):
            obd_codes.request_of(pid)
