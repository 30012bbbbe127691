"""Why a row of an export becomes no job: every reason, with what it means and what to do. Pure.

The reasons are written to rejects files and to `--json`, so their names stay.
"""

from collections.abc import Mapping
from typing import Final, Literal

from worker.model.explanation import Explanation

RejectReason = Literal[
    "unsubscribed",
    "suppressed",
    "no_consent",
    "no_shop",
    "no_customer",
    "no_channel",
    "bad_channel",
    "bad_sender",
    "bad_reference",
    "bad_destination",
    "bad_id",
    "shortened_id",
    "spreadsheet_error",
    "duplicate_row",
    "not_text",
    "two_values",
    "unreadable_row",
    "doubtful_row",
    "repeated_header",
    "other_columns",
]


REASONS: Final[Mapping[RejectReason, Explanation]] = {
    "unsubscribed": Explanation(
        "is of a person who said no: by the export, or by an export or a suppression list beside it",
        "Nothing is to be done; nobody may write to this person.",
    ),
    "suppressed": Explanation(
        "is of an address that bounced, was cleaned, is held or complained, or that is on a suppression list",
        "Nothing is to be done; if the address works again, end its suppression in the tool and export again.",
    ),
    "no_consent": Explanation(
        "doesn't meet every `--consent`, or is of a person who never said yes or whose consent can't be understood",
        "Compare the row's cells with what the command asks for; ask the person for consent in the tool.",
    ),
    "no_shop": Explanation(
        "names no shop, or one that the shops file doesn't list",
        "Give `--shop`, correct the column `shop`, or add the shop to the shops file.",
    ),
    "no_customer": Explanation(
        "has neither an id nor a valid address", "Fill in the customer's address or id, or leave the row out."
    ),
    "no_channel": Explanation(
        "names no channel, and there is no `--channel`", "Give `--channel`, or fill the column `channel`."
    ),
    "bad_channel": Explanation(
        "has a channel that can't be one, or an unknown one beside `--channel`",
        "Correct the cell, or give `--map channel=-` if that column means something else.",
    ),
    "bad_sender": Explanation(
        "has a sender of more than 320 characters, or with control characters", "Correct or empty the cell."
    ),
    "bad_reference": Explanation(
        "has a reference of more than 1,024 characters, or with control characters", "Correct or empty the cell."
    ),
    "bad_destination": Explanation("has no valid address for an e-mail", "Correct the address of the friend."),
    "bad_id": Explanation(
        "has an id that can't be one, such as a date, a formula or a piece of another cell",
        "Find out how the id came to be that, and export again.",
    ),
    "shortened_id": Explanation(
        "has an id that a spreadsheet turned into a number (`7.22E+12`, `7223120008.0`), so that digits may be lost",
        "Export again, and don't save the file from a spreadsheet, or format the column as text before the ids are in "
        "it. The digits can't be had from this file.",
    ),
    "spreadsheet_error": Explanation(
        "has `#REF!`, `#N/A`, `Err:502` or the like in a cell that a job is made of",
        "Correct the formula, and export again.",
    ),
    "duplicate_row": Explanation("makes the same job as an earlier one", "Nothing is to be done."),
    "not_text": Explanation(
        "has a list, an object or half a character of JSON in a cell that a job is made of",
        "Export that value as text.",
    ),
    "two_values": Explanation(
        "is an object of JSON that has a column in two spellings (`Email`, `email`), with different values",
        "Keep the right one, or name it with `--map`.",
    ),
    "unreadable_row": Explanation(
        "can't be taken apart into the cells of the header",
        "Correct its delimiters and quotes, and delete the reason; better, export again.",
    ),
    "doubtful_row": Explanation(
        "stands beside pieces of a torn row or an open quote, and may be a part of them",
        "Check its cells; if they are right, delete the reason and run the rejects file.",
    ),
    "repeated_header": Explanation("is the header once more", "Nothing is to be done."),
    "other_columns": Explanation(
        "comes after a header of other columns: the file was put together from several",
        "Run the parts by themselves.",
    ),
}
"""Every reason, those about consent first. Each meaning goes on from "the row …"."""

CONSENT: Final[frozenset[RejectReason]] = frozenset({"unsubscribed", "suppressed", "no_consent"})
"""The reasons for which a row must not be sent although it is well formed."""
