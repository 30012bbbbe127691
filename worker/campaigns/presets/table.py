"""The tools whose exports are recognised: one entry each. To add a tool, add an entry and a golden export.

The golden export lies in tests/unit/campaigns/presets/golden/NAME/, with what should become of each row; the test finds
it by the entry's name. Sources are named beside what they say: a vendor's help page, with its year if it has one, or
headers of files that programs in public repositories read. All were read in 2026. Values that no source names are left
to ``otherwise``, so that they veto.
"""

import re
from collections.abc import Mapping
from typing import Final

from worker.campaigns.presets.preset import Preset
from worker.campaigns.presets.rules import ByDates, ByValue
from worker.campaigns.reject_reasons import RejectReason

_YES: Final = ("yes", "true", "1")
_NO: Final = ("no", "false", "0")

_OPTED_IN: Final[Mapping[str, RejectReason | None]] = dict.fromkeys(_YES)
_OPTED_OUT: Final[Mapping[str, RejectReason | None]] = {
    **dict.fromkeys(_NO),
    **dict.fromkeys(_YES, "unsubscribed"),
}
_NOTHING: Final[Mapping[str, RejectReason | None]] = {"": None}
_NEITHER: Final[Mapping[str, RejectReason | None]] = {"": None, **dict.fromkeys(_NO)}

KLAVIYO: Final = Preset(
    # Headers by programs in public repositories that read exports of lists and segments. A profile that was suppressed
    # by hand or for bounces keeps its consent, so the suppressions are asked first. `[]` means none.
    name="klaviyo",
    signatures=[{"Klaviyo ID"}, {"Email Marketing Consent", "Email Suppressions"}, {"Email Suppressions Timestamp"}],
    fields={"customer_email": ["Email"], "reference": ["Klaviyo ID"]},
    rules=[
        ByValue("Email Suppressions", {"": None, "[]": None}, "suppressed"),
        ByValue(
            "Email Marketing Consent",
            {"subscribed": None, "unsubscribed": "unsubscribed", "never_subscribed": "no_consent"},
            "no_consent",
        ),
    ],
    telling=[{"Email Marketing Consent", "Email Suppressions"}],
)

MAILCHIMP: Final = Preset(
    # Mailchimp's help on exporting an audience, and a user's notes on it (2019): a zip of one file for each status,
    # which is in the names of the files. The files of unsubscribed and cleaned members have the columns of the rules in
    # addition.
    name="mailchimp",
    signatures=[{"LEID", "EUID"}, {"MEMBER_RATING", "OPTIN_TIME"}],
    fields={"customer_email": ["Email Address"]},
    rules=[ByValue("CLEAN_TIME", _NOTHING, "suppressed"), ByValue("UNSUB_TIME", _NOTHING, "unsubscribed")],
    status="file name",
)

SHOPIFY: Final = Preset(
    # Shopify's help on exporting customers, and the same headers in public fixtures. Ids have an apostrophe.
    name="shopify",
    signatures=[
        {"Customer ID", "Accepts Email Marketing"},
        {"Customer ID", "Default Address Zip"},
        {"Customer ID", "Accepts SMS Marketing"},
        {"Accepts Email Marketing", "Accepts SMS Marketing"},
    ],
    fields={"customer_email": ["Email"], "customer_shopid": ["Customer ID"]},
    rules=[ByValue("Accepts Email Marketing", _OPTED_IN, "no_consent")],
    telling=[{"Accepts Email Marketing"}],
    sms=[ByValue("Accepts SMS Marketing", _OPTED_IN, "no_consent")],
)

HUBSPOT: Final = Preset(
    # The label is that of `hs_email_optout` in HubSpot's default properties of contacts. By its help, labels of columns
    # can be changed and are translated, then the column is missing. A contact who never opted out has a blank cell or
    # `false`.
    name="hubspot",
    signatures=[{"Record ID", "Unsubscribed from all email"}, {"Record ID", "Email"}],
    fields={"customer_email": ["Email"], "reference": ["Record ID"]},
    rules=[ByValue("Unsubscribed from all email", {"": None, **_OPTED_OUT}, "no_consent")],
    telling=[{"Unsubscribed from all email"}],
)

HUBSPOT_SUPPRESSIONS: Final = Preset(
    # HubSpot's help on the columns of the export of unsubscribes and bounces (2019): TRUE, or the reason of a bounce.
    # Its other columns are types of e-mail that the person opted out of. Which type a campaign is of is not known here,
    # so everybody in the file said no, unless the address itself is at fault.
    name="hubspot-suppressions",
    signatures=[
        {"Portal Bounce", "Portal Unsubscribe"},
        {"Portal Unsubscribe", "Portal Spam Report"},
        {"Portal Bounce", "Global Bounce"},
    ],
    fields={"customer_email": ["Email", "Email Address", "Recipient"]},
    rules=[
        ByValue("Portal Bounce", _NEITHER, "suppressed"),
        ByValue("Global Bounce", _NEITHER, "suppressed"),
        ByValue("Portal Spam Report", _NEITHER, "suppressed"),
    ],
    suppression=True,
)

BRAZE: Final = Preset(
    # Braze's help on exporting segments to CSV, and on its API's export, which is lines of JSON with `email_subscribe`.
    # The help doesn't say whether the date of an opt-out goes away with a new opt-in. Where it is there, the person
    # once said no, and a newer `opted_in_to_emails_at` doesn't outweigh that. Without either date a user is
    # `subscribed`, which is Braze's default. `user_id` is the shop's id only where the shop chose it so, so that it
    # isn't sent as one: --map customer_shopid=user_id.
    name="braze",
    signatures=[
        {"unsubscribed_from_emails_at"},
        {"user_id", "opted_in_to_emails_at"},
        {"braze_id", "email_subscribe"},
        {"braze_id", "external_id"},
        {"Braze ID", "random_bucket"},
        {"Appboy ID", "random_bucket"},
    ],
    fields={"customer_email": ["email"], "reference": ["user_id", "external_id"]},
    rules=[
        ByValue("unsubscribed_from_emails_at", _NOTHING, "unsubscribed"),
        ByValue("email_unsubscribed_at", _NOTHING, "unsubscribed"),
        ByValue(
            "email_subscribe", {"subscribed": None, "opted_in": None, "unsubscribed": "unsubscribed"}, "no_consent"
        ),
    ],
    telling=[{"unsubscribed_from_emails_at"}, {"email_subscribe"}],
)

OMNISEND: Final = Preset(
    # Headers by a program in a public repository that reads exported contacts; statuses and the meaning of the dates by
    # Omnisend's help: each change of a status sets a date, so that whoever is subscribed has an opt-in.
    name="omnisend",
    signatures=[
        {"Email subscription status", "Email opt-in date"},
        {"Email subscription status", "SMS subscription status"},
        {"Email opt-in date", "Email opt-out date"},
        {"Email opt-in date", "SMS opt-in date"},
        {"Email consent", "Email opt-in date"},
    ],
    fields={"customer_email": ["Email", "Email address"]},
    rules=[
        ByValue(
            "Email subscription status",
            {
                "subscribed": None,
                "unsubscribed": "unsubscribed",
                "non-subscribed": "no_consent",
                "nonsubscribed": "no_consent",
            },
            "no_consent",
        ),
        ByDates("Email opt-in date", "Email opt-out date"),
    ],
    telling=[{"Email subscription status"}, {"Email opt-in date", "Email opt-out date"}],
    sms=[
        ByValue("SMS subscription status", {"subscribed": None, "unsubscribed": "unsubscribed"}, "no_consent"),
        ByDates("SMS opt-in date", "SMS opt-out date"),
    ],
)

ATTENTIVE: Final = Preset(
    # Attentive's guide for lists of a segment: no header, a telephone number or an address in the first column, the
    # segment's name in the second. The list is of subscribers and has no column about consent.
    name="attentive",
    signatures=[{"attentive subscriber"}],
    fields={"customer_email": ["attentive subscriber"]},
    headerless=re.compile(r".+_subscriber_segment_\d{8}(?:_\d+)?\.csv(?:\.gz)?", re.IGNORECASE),
)

YOTPO: Final = Preset(
    # Yotpo's help on exporting customers from its loyalty programme. It has no column about consent.
    name="yotpo",
    signatures=[{"Points Balance", "Referral Link"}],
    fields={"customer_email": ["Email", "Email Address"]},
)

SALESFORCE: Final = Preset(
    # Headers by queries on all subscribers in public repositories. The file has commas or tabs. A SubscriberKey is the
    # shop's id only where the shop chose it so, as with Braze.
    name="salesforce",
    signatures=[{"SubscriberKey"}, {"SubscriberID", "EmailAddress"}],
    fields={"customer_email": ["EmailAddress", "Email Address"], "reference": ["SubscriberKey"]},
    rules=[
        ByValue(
            "Status",
            {
                "active": None,
                "bounced": "suppressed",
                "held": "suppressed",
                "unsubscribed": "unsubscribed",
                "deleted": "unsubscribed",
            },
            "no_consent",
        )
    ],
    telling=[{"Status"}],
)

BREVO: Final = Preset(
    # Headers by programs in public repositories that read exported contacts; semicolons, Yes and No.
    name="brevo",
    signatures=[{"EMAIL_BLACKLISTED"}, {"EMAIL", "SMS_BLACKLISTED"}, {"EMAIL", "ADDED_TIME", "MODIFIED_TIME"}],
    fields={"customer_email": ["EMAIL"]},
    rules=[ByValue("EMAIL_BLACKLISTED", _OPTED_OUT, "no_consent")],
    telling=[{"EMAIL_BLACKLISTED"}],
    sms=[ByValue("SMS_BLACKLISTED", _OPTED_OUT, "no_consent")],
)

PRESETS: Final[Mapping[str, Preset]] = {
    preset.name: preset
    for preset in (
        KLAVIYO,
        MAILCHIMP,
        SHOPIFY,
        HUBSPOT,
        HUBSPOT_SUPPRESSIONS,
        BRAZE,
        OMNISEND,
        ATTENTIVE,
        YOTPO,
        SALESFORCE,
        BREVO,
    )
}
"""Every preset by its name, as `--preset` takes it."""
