"""The counts of what is collected."""

from worker.cli.collect.destination import MOST_CODES, Tally


def test_codes_and_campaigns_are_bounded() -> None:
    """One made up for each job takes no memory, and those that were met before still count."""
    tally = Tally()
    for number in range(3 * MOST_CODES):
        tally.count("rejected", f"rule_{number}", f"{number}", superseding=False, rehearsed=False)
    tally.count("rejected", "rule_0", " 0 ", superseding=True, rehearsed=True)
    tally.count("sent", None, "0", superseding=False, rehearsed=False)
    assert len(tally.campaigns) == MOST_CODES
    assert tally.campaigns["0"] == 3
    assert len(tally.codes) == MOST_CODES
    assert tally.codes["rejected", "rule_0"] == 2
    assert tally.outcomes == {"rejected": 3 * MOST_CODES + 1, "sent": 1}
    assert (tally.superseding, tally.rehearsed) == (1, 1)
