"""Vehicle identification numbers (ISO 3779; check digit 49 CFR 565): validity, and what they tell offline."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from vininfo import Vin
from vininfo.exceptions import ValidationError

_FORM = re.compile(r"[A-HJ-NPR-Z0-9]{17}")


@dataclass(frozen=True)
class Decoded:
    """What a VIN says of the vehicle; empty where it says nothing."""

    make: str = ""
    country: str = ""
    year: int | None = None


def normal(text: str) -> str:
    """A VIN as stored: without blanks and hyphens, in capitals."""
    bare = re.sub(r"[\s-]", "", text)
    return bare.upper() if bare.isascii() else bare


def problem(vin: str) -> str | None:
    """Why ``vin`` cannot be a VIN, or None."""
    if len(vin) != 17:
        return f"A VIN has 17 characters; this has {len(vin)}. Use an alias for other identifiers."
    if not _FORM.fullmatch(vin):
        return "A VIN has capital letters and digits, without I, O and Q."
    return None


def warning(vin: str) -> str | None:
    """A doubt about a valid VIN: one that nobody gives, or its check digit, which only North America prescribes."""
    if len(set(vin)) < 5 or vin[:3] == "000":
        return "This VIN is not plausible; look for a placeholder."
    if vin[0] in "12345" and not Vin(vin).verify_checksum():
        return "The check digit of this VIN is wrong; look for a typing error."
    return None


def decode(vin: str) -> Decoded:
    """Make, country and model year. The year's code repeats every 30 years: the newest that is not in the future."""
    try:
        number = Vin(vin)
    except ValidationError:
        return Decoded()
    newest = datetime.now(UTC).year + 1
    years = [year for year in (number.years or ()) if year <= newest]
    maker = number.manufacturer or ""
    return Decoded("" if maker.startswith("Unsupported") else maker, number.country or "", max(years, default=None))
