"""What ``scripts/counts`` takes for too much."""

import json

from scripts.programs.counting.__main__ import BASELINE, excess


def test_a_tenth_more_is_too_much() -> None:
    """In each part of the code by itself, whatever the whole is."""
    baseline = {"calls": 1000.0, "calls in json": 20.0}
    assert excess({"calls": 1100, "calls in json": 22}, baseline) == []
    assert excess({"calls": 1000, "calls in json": 23.1}, baseline) == [("calls in json", 23.1, 20.0)]


def test_what_is_new_is_too_much() -> None:
    """A part that was not called before has no tenth; one call in two jobs is nothing."""
    assert excess({"calls in yaml": 0.6, "calls in csv": 0.5}, {}) == [("calls in yaml", 0.6, 0)]


def test_less_is_not_too_much() -> None:
    """What became cheaper passes, and so does what is gone."""
    assert excess({"calls": 500.0}, {"calls": 1000.0, "calls in json": 20.0}) == []


def test_the_baseline_has_what_the_gate_is_for() -> None:
    """Calls, system calls and context switches of Python 3.11, which CI runs."""
    assert {"calls", "system calls", "context switches"} <= set(json.loads(BASELINE.read_text())["3.11"])
