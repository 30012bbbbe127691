"""Messages that are alike."""

import pytest

from worker.reporting.messages import Messages


def shown(*texts: str) -> list[tuple[str, int]]:
    """The kinds of these messages and their counts."""
    messages = Messages()
    for text in texts:
        messages.add(text, "sent", None)
    return [(text, number) for text, _, _, number in messages.most_common(10)]


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (["Thanks Ann! See you.", "Thanks Bob! See you."], "Thanks … See you."),
        (["Thanks Ann Lee! See you.", "Thanks Bob! See you."], "Thanks … See you."),
        (["You get 5 points.", "You get 10 points."], "You get … points."),
        (["Sent to ann@example.com now", "Sent to bob@example.org now"], "Sent to … now"),
        (["Open https://acme.example.com/r/1", "Open https://acme.example.com/r/2"], "Open …"),
        (
            ["Danke, Anna! Deine Einladung ist da.", "Danke, Öznur! Deine Einladung ist da."],
            "Danke, … Deine Einladung ist da.",
        ),
        (["no  capital\there", "no capital here"], "no capital here"),
        (["Ann Ann", "Ann Ann Ann"], "Ann Ann …"),
    ],
)
def test_messages_that_differ_in_names_and_numbers_are_one_kind(texts: list[str], kind: str) -> None:
    """What all have in common is shown, and … for the rest."""
    assert shown(*texts) == [(kind, len(texts))]


def test_other_words_make_another_kind() -> None:
    """Messages that say different things are counted by themselves, the most common first."""
    assert shown("we are closed", "we are open", "we are open") == [("we are open", 2), ("we are closed", 1)]


def test_addresses_and_numbers_are_masked() -> None:
    """A message of which there is one shows no address and no telephone number, in whatever form."""
    (text, _), *_ = shown("Hi! We wrote to ann@example.com and ann%40example.com, or call +49 151 12345678")
    assert "example.com" not in text
    assert "12345678" not in text
    assert "<address>" in text


def test_one_text_under_two_codes_is_two_kinds() -> None:
    """A message explains a code, so it is told with it."""
    messages = Messages()
    messages.add("no", "rejected", "a_rule")
    messages.add("no", "rejected", "another_rule")
    assert [(code, number) for _, _, code, number in messages.most_common(10)] == [("a_rule", 1), ("another_rule", 1)]


def test_those_beyond_the_most_common_are_counted() -> None:
    """No message is lost without a count."""
    messages = Messages()
    for letter in "abcdefghijkl":
        messages.add(letter * 3, "sent", None)
    assert len(messages.most_common(10)) == 10
    assert messages.rest(10) == 2


def test_the_message_of_a_code() -> None:
    """The words of a shop's own rule are told beside its code: the most common ones of that outcome."""
    messages = Messages()
    for text, outcome, code in (
        ("no", "rejected", "a_rule"),
        ("never", "rejected", "a_rule"),
        ("never", "rejected", "a_rule"),
    ):
        messages.add(text, outcome, code)  # type: ignore[arg-type]  # a loop widens it
    messages.add("well", "failed", "a_rule")
    assert messages.of_code("rejected", "a_rule") == "never"
    assert messages.of_code("rejected", "another_rule") is None
