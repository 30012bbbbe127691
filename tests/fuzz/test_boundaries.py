"""The targets for a second each: their corpus, and inputs that are made from it, always the same."""

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.fuzz.catalogue import TARGETS
from tests.fuzz.target import CORPUS, Target

LARGEST_CORPUS = 60
LARGEST_INPUT = 4096

EXAMPLES = 120


@st.composite
def mutated(draw: st.DrawFn, target: Target) -> bytes:
    """An input of the corpus with pieces cut, repeated, or replaced by words of its language or by anything."""
    data = draw(st.sampled_from(target.corpus()))
    piece = st.one_of(st.sampled_from((b"", *target.words)), st.binary(max_size=12))
    for _ in range(draw(st.integers(0, 6))):
        begin = draw(st.integers(0, len(data)))
        end = draw(st.one_of(st.just(begin), st.integers(begin, min(len(data), begin + 24))))
        times = draw(st.sampled_from((1, 1, 1, 2, 40)))
        data = data[:begin] + draw(piece) * times + data[end:]
    return data[: target.longest]


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_what_was_found_once_stays_found(target: Target) -> None:
    """Every input of the corpus, which is small: all that led a fuzzer on, and each fault that it found."""
    corpus = target.corpus()
    assert 0 < len(corpus) <= LARGEST_CORPUS
    assert max(map(len, corpus)) <= LARGEST_INPUT
    for data in corpus:
        target.run(data)


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_no_bytes_break_a_promise(target: Target) -> None:
    """Inputs made from the corpus, and some from nothing."""

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(st.one_of(mutated(target), mutated(target), mutated(target), st.binary(max_size=200)))
    def holds(data: bytes) -> None:
        target.run(data)

    holds()


def test_every_corpus_has_its_target() -> None:
    """No corpus outlives its target."""
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)
