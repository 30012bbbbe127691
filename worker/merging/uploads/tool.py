"""What is known about the importer of one tool. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from worker.campaigns.columns import normalized
from worker.campaigns.identifiers import bare, can_be_id, is_shortened
from worker.errors import UsageError
from worker.model.addresses import normalized_email
from worker.text.visible import is_plain

Form = Literal["address", "digits", "text"]
"""What an identifier is: an e-mail address, a number that is kept as text, or any text."""

BadIdentifier = Literal["no_identifier", "shortened_id", "bad_id", "unsupported_address"]

_LONGEST_NAME = 100
"""Characters of a column's name. No tool is known that takes longer names."""

_MEANINGS: Final = frozenset(
    map(
        normalized,
        [
            *("Email", "Email Address", "Phone", "Phone Number", "SMS", "WhatsApp", "Landline Number", "User ID"),
            *("ID", "Record ID", "Klaviyo ID", "External ID", "Ext ID", "Braze ID", "Appboy ID", "Customer ID"),
            *("User Alias Name", "User Alias Label", "Command", "Handle", "Status", "Consent", "Source", "Owner"),
            *("First Name", "Last Name", "Name", "Title", "Organization", "Company", "Language", "Locale", "Country"),
            *("Region", "City", "Zip", "Zip Code", "Address", "Timezone", "Time Zone", "Birthday", "DOB", "Gender"),
            *("Note", "Notes", "Tags", "Tag", "Lists", "Opt-in Time", "Confirm Time", "Optin IP", "Confirm IP"),
            *("Email Subscribe", "Push Subscribe", "Subscription Group ID", "Subscription State", "Lifecycle Stage"),
            *("Email Marketing Consent", "SMS Marketing Consent", "Email Suppressions", "Email Blacklisted"),
            *("Accepts Email Marketing", "Accepts SMS Marketing", "Unsubscribed from all email", "SMS Blacklisted"),
            *("Email subscription status", "SMS subscription status", "Email opt-in date", "Email opt-out date"),
        ],
    )
)
"""Names that mean something to an importer. A link there would replace a customer's name, tags or consent."""


class Longest(NamedTuple):
    """How long a text may be."""

    number: int
    unit: Literal["bytes", "characters"]

    def fits(self, text: str) -> bool:
        """Whether a text is short enough."""
        length = len(text.encode(errors="surrogatepass")) if self.unit == "bytes" else len(text)
        return length <= self.number


@dataclass(frozen=True)
class Identifier:
    """A column by which the tool knows its people.

    ``name`` is its header in the upload file, letter by letter. It is read from the canonical field ``source``, or else
    from the first column of one of these names, which count without case, spaces and punctuation: ``columns`` in any
    export, ``own`` only in the tool's own, where they mean nothing else.
    """

    name: str
    form: Form
    source: Literal["customer_email", "customer_shopid"] | None = None
    columns: Sequence[str] = ()
    own: Sequence[str] = ()


@dataclass(frozen=True)
class Tool:
    """What an importer takes.

    ``identifiers`` in order of preference: a row is uploaded by the first one that it has, and each file has one of
    them only. ``link_column`` is the default name of the link's column, ``link_names`` are the names that it may have,
    and ``naming`` says so to a person. ``most_bytes`` and ``most_rows`` are those of one file; ``most_rows`` is without
    the header, None for no limit. ``constants`` are columns that have the same value in each row.
    """

    name: str
    identifiers: Sequence[Identifier]
    link_column: str
    most_bytes: int
    most_rows: int | None = None
    longest_link: Longest | None = None
    delimiter: Literal[",", ";"] = ","
    link_names: re.Pattern[str] = re.compile(r".+")
    naming: str = ""
    constants: Mapping[str, str] = field(default_factory=dict)
    ascii_local_part: bool = False
    """The importer refuses addresses with other letters than ASCII's before the ``@``."""
    billed: bool = False
    """Each value that is written costs money, also one that is there already."""
    name_holds: str = ""
    """What the name of a file must hold, in lower case, for the importer to know what it is."""

    def header(self, identifier: Identifier, link_column: str) -> Sequence[str]:
        """The columns of a file."""
        return [identifier.name, *self.constants, link_column]

    def check_name(self, link_column: str) -> None:
        """Check the name that a person gives to the link's column.

        Raises:
          UsageError: the tool takes no such name, or it means something else to an importer.
        """
        problem = None
        if not link_column.strip() or link_column != link_column.strip() or not is_plain(link_column):
            problem = "is blank, begins or ends with a blank, or has characters that can't be seen"
        elif len(link_column) > _LONGEST_NAME:
            problem = f"is longer than {_LONGEST_NAME} characters"
        elif normalized(link_column) in _MEANINGS:
            problem = f"means something else to {self.name}, and the links would replace it"
        elif not self.link_names.fullmatch(link_column):
            problem = f"{self.name} takes {self.naming}"
        if problem is not None:
            raise UsageError(f"--link-column {link_column}: {problem}; the default is '{self.link_column}'")

    def bad_identifier(self, identifier: Identifier, value: str) -> BadIdentifier | None:
        """Why a value that isn't empty can't identify anybody; None if it can.

        An identifier that was changed on the way would put the link at somebody else.
        """
        if identifier.form == "address":
            if normalized_email(value) is None:
                return "no_identifier"
            local_part = value.rpartition("@")[0]
            return "unsupported_address" if self.ascii_local_part and not local_part.isascii() else None
        if is_shortened(value):
            return "shortened_id"
        if identifier.form == "digits":
            return None if value.isascii() and value.isdecimal() else "bad_id"
        return None if can_be_id(value) else "bad_id"


def spelled(identifier: Identifier, cell: str) -> str:
    """An identifier as it is uploaded: the export's cell without what protects it from a spreadsheet."""
    return cell.strip() if identifier.form == "address" else bare(cell.strip())


def compared(identifier: Identifier, value: str) -> str:
    """What two values have in common if the tool takes them for one person: addresses count in any case."""
    if identifier.form == "address":
        return (normalized_email(value) or value).casefold()
    return value
