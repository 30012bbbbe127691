"""docs/store.md shows which unit of the memory store is which one of the scripts: the page is held to the code."""

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
LUA = ROOT / "worker/store/redis/lua"
SECTION = (ROOT / "docs/store.md").read_text(encoding="utf-8").partition("## The same units")[2]
SHARED = re.findall(r"^\| `(\w+)` \| .* \| `([\w.]+)` \| `(\w+\.lua)` \|$", SECTION, re.MULTILINE)


def functions(path: Path) -> set[str]:
    """The functions that a part of the scripts defines."""
    return set(re.findall(r"^local function (\w+)\(", path.read_text(encoding="utf-8"), re.MULTILINE))


def owner(dotted: str) -> Any:
    """The module or class of the worker of that name."""
    module, _, name = dotted.rpartition(".")
    if name[0].isupper():
        return getattr(import_module(f"worker.{module}"), name)
    return import_module(f"worker.{dotted}")


@pytest.mark.parametrize(("unit", "python", "lua"), SHARED)
def test_a_unit_has_its_name_on_both_sides(unit: str, python: str, lua: str) -> None:
    """Each unit that the page names is where it says, in Python and in Lua."""
    assert callable(getattr(owner(python), unit, None))
    assert unit in functions(LUA / lua)


def test_every_unit_of_the_scripts_is_on_the_page() -> None:
    """A function that is new in Lua says on the page what it is in Python, or that only Lua needs it."""
    defined = {name for path in LUA.glob("*.lua") for name in functions(path)}
    only_lua = set(re.findall(r"`(\w+)`", SECTION.partition("What only Lua needs")[2]))
    assert len(SHARED) >= 20
    assert defined == {unit for unit, _, _ in SHARED} | only_lua
