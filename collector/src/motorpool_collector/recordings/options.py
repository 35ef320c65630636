"""What a person says of a table where it does not say it itself."""

from __future__ import annotations

from typing import Dict, NamedTuple, Optional


class Options(NamedTuple):
    """What a person says of a file where it does not say it itself; empty: as recognized."""

    timezone: str = ""
    time_column: str = ""
    columns: Optional[Dict[str, str]] = None
    units: Optional[Dict[str, str]] = None
    start: str = ""
    date_format: str = ""
    decimal: str = ""
    delimiter: str = ""
    encoding: str = ""
    spread: bool = False
