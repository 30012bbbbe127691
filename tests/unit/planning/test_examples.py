"""The few rows of each reason that a plan shows."""

from worker.campaigns.exports.base import Values
from worker.campaigns.importer import Reject
from worker.planning.examples import Examples

ROW = Values("ann@mail.example.org", "7.22312E+12", "", "whatsapp", "", "", "", "acme", ())


def test_the_first_three_rows_of_a_reason_are_kept() -> None:
    """The fourth row of a reason is counted elsewhere and not shown."""
    examples = Examples(["spring.csv"])
    for line in range(2, 8):
        examples.add(Reject("spring.csv", line, line, "no_consent", ROW))
    assert [text.partition(" (")[0] for text in examples.of("no_consent")] == ["line 2", "line 3", "line 4"]


def test_an_example_names_its_export_if_there_are_several() -> None:
    """A line alone would not say in which file it is; the name is there once, and without the archive's."""
    examples = Examples(["list.zip/members/spring.csv", "list.zip/members/autumn.csv"])
    examples.add(Reject("list.zip/members/spring.csv", 1204, 1204, "unreadable_row", None))
    examples.add(Reject("list.zip/members/spring.csv", 1206, 1206, "unreadable_row", None))
    examples.add(Reject("list.zip/members/autumn.csv", 3, 3, "unreadable_row", None))
    assert examples.of("unreadable_row") == ["spring.csv line 1,204", "line 1,206", "autumn.csv line 3"]


def test_exports_of_one_name_are_told_apart() -> None:
    """By their whole names."""
    examples = Examples(["a/spring.csv", "b/spring.csv"])
    examples.add(Reject("b/spring.csv", 2, 2, "unreadable_row", None))
    assert examples.of("unreadable_row") == ["b/spring.csv line 2"]


def test_a_row_that_a_spreadsheet_shows_elsewhere_has_both_numbers() -> None:
    """After a cell of several lines the row is another number than the line."""
    examples = Examples(["spring.csv"])
    examples.add(Reject("spring.csv", 1207, 1203, "no_consent", ROW))
    assert examples.of("no_consent") == ["line 1,207 = row 1,203 (a…@m….org)"]


def test_an_id_is_shown_without_what_protects_it() -> None:
    """The apostrophe of Shopify's ids is none of their characters."""
    examples = Examples(["spring.csv"])
    examples.add(
        Reject("spring.csv", 2, 2, "no_channel", ROW._replace(customer_email="", customer_shopid="'7223120301"))
    )
    assert examples.of("no_channel") == ["line 2 (722…301)"]


def test_an_example_shows_what_its_reason_is_about() -> None:
    """Of a row with a bad id the id is shown, though the row has an address too."""
    examples = Examples(["spring.csv"])
    examples.add(Reject("spring.csv", 2, 2, "bad_id", ROW))
    examples.add(Reject("spring.csv", 3, 3, "unsubscribed", ROW))
    examples.add(Reject("spring.csv", 4, 4, "shortened_id", ROW))
    assert examples.of("shortened_id") == ["line 4 (7.22312E+12)"]
    assert examples.of("bad_id") == ["line 2 (7.2…+12)"]
    assert examples.of("unsubscribed") == ["line 3 (a…@m….org)"]
