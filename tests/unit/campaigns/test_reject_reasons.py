"""The table of reasons for which a row becomes no job."""

from typing import get_args

from worker.campaigns.reject_reasons import CONSENT, REASONS, RejectReason


def test_every_reason_is_explained() -> None:
    """Each reason has a meaning that goes on from "the row", and a remedy that is a sentence."""
    assert list(REASONS) == list(get_args(RejectReason))
    for reason, told in REASONS.items():
        assert told.meaning[0].islower() or told.meaning.startswith("`"), reason
        assert told.remedy.endswith("."), reason
        assert "|" not in told.meaning + told.remedy, reason


def test_reasons_of_consent_come_first() -> None:
    """Who must not be written to is what a person looks for first."""
    assert set(list(REASONS)[: len(CONSENT)]) == CONSENT
