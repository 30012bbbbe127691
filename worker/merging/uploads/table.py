"""The tools for which upload files are written: one entry each. To add a tool, add an entry and a section in
docs/campaigns.md; the tests find it here.

What a file holds is the same for all: the identifier first, the link, and nothing else. Every further column would
overwrite a field, and in Braze cost a data point. So the limits on columns (Omnisend 200, HubSpot under 1,000) can't be
met. A file is UTF-8 without a byte order mark, since importers are known that take the mark for a part of the first
header, which is the identifier's. Lines end in LF: a CR that is left over would become the end of the link.

Each entry names its sources, all read in 2026: help pages of the vendors, with their year if they have one. *[high]* is
stated there, *[medium]* is stated elsewhere or for a neighbouring function, *[low]* is a safe guess.
"""

import re
from collections.abc import Mapping
from typing import Final

from worker.merging.uploads.tool import Identifier, Longest, Tool

KLAVIYO: Final = Tool(
    # Klaviyo's help on uploading a CSV to a list and on failed imports (2024): the first column is Email, Email Address
    # or Phone Number; up to 50 MB; a repeated address is refused; other headers become custom properties [high]. Newer
    # pages name Klaviyo ID and External ID as identifiers, too [medium], but each row needs an address or a number
    # [high], so the address is the one that always works. A bulk import doesn't clear by null [high, of the API].
    name="klaviyo",
    identifiers=[Identifier("Email", "address", source="customer_email")],
    link_column="referral_link",
    most_bytes=50_000_000,
)

MAILCHIMP: Final = Tool(
    # Mailchimp's help on formatting an import and on failed ones: CSV or TXT with commas or tabs; the address, once; a
    # text field takes 255 bytes and longer ones are cut; letters beyond ASCII only after the @; spaces around an
    # address are errors [high]. A column is matched to an audience field by its label, so the field comes first [high].
    # No size is documented; a report names about 200 MB, so half of it [low]. With "update existing", a blank cell may
    # overwrite [low]: no cell is blank.
    name="mailchimp",
    identifiers=[Identifier("Email Address", "address", source="customer_email")],
    link_column="Referral Link",
    most_bytes=100_000_000,
    longest_link=Longest(255, "bytes"),
    ascii_local_part=True,
)

SHOPIFY: Final = Tool(
    # Shopify's help on its own importer of customers: fixed columns, case counts, 1 MB [medium]. There is no column for
    # a metafield, and with "overwrite existing customers" Note and Tags would be replaced [medium]. So the file is for
    # an app that imports metafields, such as Matrixify or Altera: `ID`, else `Email`; `Metafield: namespace.key
    # [type]`; columns that aren't there stay as they are; `Command` is MERGE unless it is said, which makes new
    # customers of unknown ones, and UPDATE doesn't [high, Matrixify's help]. A CSV is taken for customers if its name
    # has "customer" in it [high]. The apps' limits depend on their plans, and 1 MB is below all of them [low].
    name="shopify",
    identifiers=[
        Identifier("ID", "digits", source="customer_shopid"),
        Identifier("Email", "address", source="customer_email"),
    ],
    link_column="Metafield: custom.referral_link [url]",
    link_names=re.compile(r"Metafield: \w+\.\w+(?: \[\w+\])?", re.ASCII),
    naming="a metafield, such as 'Metafield: custom.my_link [url]'",
    constants={"Command": "UPDATE"},
    name_holds="customer",
    most_bytes=1_000_000,
)

HUBSPOT: Final = Tool(
    # HubSpot's help on import files (2025): 1,048,576 rows; 512 MB, or 20 MB with the free tools; UTF-8; a header for
    # each property; `Record ID` or `Email` identifies a contact [high]. The smaller size works for everybody. A blank
    # cell is ignored [medium, a page of 2016]. `Record ID` is first: it also identifies contacts without an address.
    name="hubspot",
    identifiers=[
        Identifier("Record ID", "digits", columns=["Record ID"]),
        Identifier("Email", "address", source="customer_email"),
    ],
    link_column="Referral Link",
    most_bytes=20_000_000,
    most_rows=1_048_575,
)

BRAZE: Final = Tool(
    # Braze's help on CSV import (2025): one of external_id, braze_id, an alias, email or phone; 500 MB; headers are
    # matched letter by letter and unknown ones become custom attributes; blanks overwrite nothing; every value is a
    # data point, also an unchanged one [high]. Its exports call external_id user_id, and braze_id Braze ID or Appboy ID
    # [high]. With an address, the most recently updated of several profiles is changed [high], so it comes last. Its
    # help on data types: a string has 255 characters at the most [high].
    name="braze",
    identifiers=[
        Identifier("external_id", "text", columns=["external_id"], own=["user_id"]),
        Identifier("braze_id", "text", columns=["braze_id", "Braze ID", "Appboy ID"]),
        Identifier("email", "address", source="customer_email"),
    ],
    link_column="referral_link",
    link_names=re.compile(r"[^$,].*"),
    naming="names that don't begin with '$' or ','",
    most_bytes=500_000_000,
    longest_link=Longest(255, "characters"),
    billed=True,
)

BREVO: Final = Tool(
    # Brevo's help on import files: 250 MB; `;`, `,` or tab; UTF-8; unique headers, which are matched to attributes by
    # their names, and an attribute can be made while importing; EMAIL, SMS, EXT_ID and others identify [high]. The API
    # asks for attribute names in capitals [high]. Whether blanks erase is an option of the import [high].
    name="brevo",
    identifiers=[Identifier("EMAIL", "address", source="customer_email")],
    link_column="REFERRAL_LINK",
    link_names=re.compile(r"[A-Z][A-Z0-9_]*", re.ASCII),
    naming="capitals, digits and '_'",
    most_bytes=250_000_000,
    delimiter=";",
)

OMNISEND: Final = Tool(
    # Omnisend's help on imports and its questions and answers: CSV; an address or a telephone number a row; 200
    # columns; no limit on rows; a further import of a contact updates it [high]. No size is documented [low].
    name="omnisend",
    identifiers=[Identifier("email", "address", source="customer_email")],
    link_column="referral_link",
    most_bytes=100_000_000,
)

TOOLS: Final[Mapping[str, Tool]] = {
    tool.name: tool for tool in (KLAVIYO, MAILCHIMP, SHOPIFY, HUBSPOT, BRAZE, BREVO, OMNISEND)
}
"""Every tool by its name, as ``--for`` takes it."""
