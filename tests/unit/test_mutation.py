"""scripts/mutants: what it tries. Of Python its operators come from a group that `scripts/env --dev` leaves out; the
store's Lua needs none."""

import random
from pathlib import Path

from scripts.programs.mutation import lua
from scripts.programs.mutation.choice import MODULES, SCRIPTS, STORE
from scripts.programs.mutation.mutant import Mutant
from scripts.programs.mutation.sampling import sample

ROOT = Path(__file__).parents[2]


def sampled(seed: int, count: int = 60) -> list[Mutant]:
    """Mutants of the store's scripts."""
    paths = [str(path.relative_to(ROOT)) for path in sorted((ROOT / "worker/store/redis/lua").glob("*.lua"))]
    sources = {path: lua.Source(path, (ROOT / path).read_text(encoding="utf-8")) for path in paths}
    return sample(sources, count, random.Random(seed))


def test_a_seed_makes_the_same_sample_again() -> None:
    """What survived can be tried again by its seed, and another seed tries something else."""
    assert len(sampled(7)) == 60
    assert sampled(7) == sampled(7)
    assert sampled(7) != sampled(8)


def test_a_mutant_differs_from_its_source_in_one_place() -> None:
    """One line is changed, the one that the mutant names, and no line has two mutants in a sample."""
    mutants = sampled(7, count=10_000)
    assert len({(mutant.path, mutant.line) for mutant in mutants}) == len(mutants) > 60
    for mutant in mutants:
        before, after = mutant.original.splitlines(), mutant.mutated.splitlines()
        assert mutant.original == (ROOT / mutant.path).read_text(encoding="utf-8")
        changed = [number for number, pair in enumerate(zip(before, after, strict=True), 1) if pair[0] != pair[1]]
        assert changed == [mutant.line], mutant.diff()


def test_choice_names_what_exists() -> None:
    """Modules, scripts and tests that the choice of tests goes by are there: a moved one would be tried by too few."""
    scripts = {path.stem for path in (ROOT / "worker/store/redis/lua").glob("*.lua")}
    assert set(SCRIPTS) == scripts
    topics = {topic for topics in SCRIPTS.values() for topic in topics}
    tests = {test for tests in MODULES.values() for test in tests} | {f"{STORE}/test_{topic}.py" for topic in topics}
    assert [path for path in sorted({*MODULES, *tests}) if not (ROOT / path).exists()] == []
