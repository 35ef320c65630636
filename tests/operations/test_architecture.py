"""The house rules that a program can check."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.portal import ROOT

PACKAGES = (
    "fleet",
    "vehicles",
    "telemetry",
    "alerts",
    "integrations",
    "motorpool_formats",
    "collector/src",
    "bench",
    "chaos",
)
MODULES = [p for name in PACKAGES for p in sorted((ROOT / name).rglob("*.py")) if "migrations" not in p.parts]
LONGEST = 300


@pytest.mark.parametrize("module", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_f22_modules_are_short_and_their_public_parts_are_described(module: Path) -> None:
    text = module.read_text()
    assert len(text.splitlines()) <= LONGEST
    tree = ast.parse(text)
    if not tree.body or module.name in ("apps.py", "urls.py", "manage.py") or {"bench", "chaos"} & set(module.parts):
        return
    assert ast.get_docstring(tree), "the module says nothing of itself"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            routine = (
                any(word in node.name for word in ("Admin", "Inline", "Output", "Array")) or node.name == "ReadOnly"
            )
            assert routine or ast.get_docstring(node), f"{node.name} has no docstring"


def test_sql_on_the_store_stands_in_the_store() -> None:
    allowed = {"telemetry/store", "telemetry/sinks.py", "bench", "chaos", "tests"}
    for module in MODULES:
        name = str(module.relative_to(ROOT))
        if not any(name.startswith(place) for place in allowed):
            assert not re.search(
                r"telemetry_(frame|latest|batch|rollup|sinkprogress|signalset|rejectedreading)\b", module.read_text()
            ), name


def test_tenant_models_are_reached_from_the_organization() -> None:
    """Views and APIs start at the organization: they never ask a tenant model's manager themselves."""
    for module in MODULES:
        if re.fullmatch(r"(\w+_)?(views|api|consumer|socket|forms)\.py", module.name):
            for match in re.finditer(r"\b(\w+)\.objects\.(\w+)", module.read_text()):
                shared = ("Source", "Signal", "User")  # of the whole installation
                assert match.group(2) == "none" or match.group(1) in shared, f"{module}: {match.group()}"


def test_nothing_loads_from_elsewhere() -> None:
    for path in [*(ROOT / "templates").rglob("*.html"), *(ROOT / "static" / "dist").glob("*.css")]:
        assert not re.search(r"""(src|href|url\()\s*=?\s*["']?https?://""", path.read_text()), path


def test_the_front_end_is_small() -> None:
    import gzip

    sizes = {p.name: len(gzip.compress(p.read_bytes())) for p in (ROOT / "static" / "dist").iterdir()}
    assert sizes["app.js"] + sizes["vehicle.js"] < 90_000
    assert sizes["app.css"] < 25_000


def test_f25_the_documents_quote_the_figures_of_the_code() -> None:
    from telemetry.ingest import turns
    from telemetry.readings import CLOCK_TOLERANCE_US

    text = " ".join((ROOT / "docs" / "architecture.md").read_text().split())
    assert f"pause {turns.REST:g} times as long as they took" in text
    assert f"the next get 429 after {turns.LONGEST_WAIT:g} s" in text
    assert f"more than {CLOCK_TOLERANCE_US // 1_000_000} s ahead" in text
