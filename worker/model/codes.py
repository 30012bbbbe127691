"""What the code and the outcome of a result mean and what to do: the vendor's codes and ours, in one table. Pure.

Codes stand in results files and in ``--json``, so their names stay. The vendor's are listed in
:data:`worker.model.verdicts.DOCUMENTED_CODES`; any other code is a rule of the shop's own.
"""

import re
from collections.abc import Mapping
from typing import Final, Literal

from worker.model.explanation import Explanation
from worker.model.outcomes import Outcome
from worker.model.verdicts import DOCUMENTED_CODES

OwnCode = Literal[
    "timeout",
    "connection_lost",
    "unreadable_answer",
    "interrupted",
    "unverified",
    "suppressed",
    "unanswered",
    "connection",
    "http_3xx",
    "http_4xx",
    "http_407",
    "http_408",
    "http_425",
    "http_429",
    "http_5xx",
]
"""Codes of ours, for calls that got no answer of Refer2's. ``http_<status>`` stands for a status without an error id;
``xx`` stands for each of its class that has no entry of its own."""

_LOOK = (
    "Look the customer up in the shop. If the referral is there, nothing is to be done; if not, `referrals replay`. "
    '`on_unknown = "verify"` in the shops file lets workers look by themselves.'
)
_GOES_ON = "no job ends by it"

CODES: Final[Mapping[str, Explanation]] = {
    "missing_customer_identity": Explanation(
        "the call named no customer",
        'Give the row an id or an address of its customer; with `token = "customer"` it needs a `customer_shopid`. '
        "Send the row again.",
    ),
    "empty_customer_identity": Explanation(
        "the ids of the customer are empty", "Give the row an id or an address of its customer, and send it again."
    ),
    "customer_identity_partially_mismatches_matched_customer": Explanation(
        "the ids of the row belong to two customers, or one of them to nobody",
        "Compare the row's ids and address with the shop's customer, correct or empty the wrong one, and send the row "
        "again. `referrals plan --match` finds such rows beforehand.",
    ),
    "no_customers_match_customer_identity": Explanation(
        "the shop has no customer with these ids",
        "Correct the ids and send the row again, or leave it out. Who becomes a customer later is sent by `referrals "
        "replay`. `referrals plan --match` finds such rows beforehand.",
    ),
    "customer_identity_does_not_match_token": Explanation(
        "the customer is not the one of the call's token",
        'With `token = "customer"`, leave out `customer_bhid`, or change to a shop token; send the row again.',
    ),
    "invalid_token": Explanation(
        "the token was refused; nothing was done, and the shop's other jobs wait",
        "Correct the shop's credential in the shops file (`referrals shops check` tests it): what waits then goes on. "
        'A single job that ended so has a customer whose token is refused (`token = "customer"`): correct its id.',
    ),
    "obsolete_global_api_version": Explanation(
        f"Refer2 no longer serves this API version; {_GOES_ON}",
        "Correct `api_version` in the shops file; the jobs then go on.",
    ),
    "inaccessible_global_api_version": Explanation(
        "the shop's account may not use this API version; nothing was done, and the shop's other jobs wait",
        "Correct `api_version` in the shops file, or have the provider open it; the jobs then go on.",
    ),
    "invalid_global_api_version": Explanation(
        f"there is no such API version; {_GOES_ON}", "Correct `api_version` in the shops file; the jobs then go on."
    ),
    "rate_limit_exceeded": Explanation(
        f"the customer or the shop was called too fast; {_GOES_ON}",
        "Nothing is to be done: the job is called again when it may be.",
    ),
    "timeout": Explanation("the request went out, and no answer came in time; it may have been carried out", _LOOK),
    "connection_lost": Explanation(
        "the connection broke after the request went out; it may have been carried out", _LOOK
    ),
    "unreadable_answer": Explanation(
        "the answer can't be understood; it was cut off, too large, or without a referral, and the request may have "
        "been carried out",
        _LOOK,
    ),
    "interrupted": Explanation(
        "the job ended after a call that may have been carried out; its worker died, its deadline passed, its "
        "campaign was cancelled, or its customer or destination was suppressed",
        _LOOK,
    ),
    "unverified": Explanation("an answer was lost; the customer's referrals could not be read back either", _LOOK),
    "suppressed": Explanation(
        "the customer or the destination is on a suppression list; nobody was called",
        "Nothing is to be done: somebody asked not to be contacted. `referrals suppress check` tells by which list.",
    ),
    "unanswered": Explanation(
        "every answer was lost, and reading back showed that nothing was done", "Send it again by `referrals replay`."
    ),
    "connection": Explanation(
        f"no connection to Refer2 could be opened; {_GOES_ON}",
        "Check the network, and `base_url` in the shops file; the jobs then go on.",
    ),
    "http_3xx": Explanation(
        "a redirect came in place of Refer2's answer; nothing was done",
        "Correct `base_url` or the slug of the shop in the shops file, then `referrals replay`.",
    ),
    "http_4xx": Explanation(
        "a page came in place of Refer2's answer; a proxy, a firewall or another server refuses this job, and nothing "
        "was done",
        "Have the firewall let the job through, or correct what it dislikes in the row, then `referrals replay`.",
    ),
    "http_407": Explanation(
        "the proxy asks for a login; nothing was done",
        "Put its user and password into `REFERRALS_HTTP_PROXY`, then `referrals replay`.",
    ),
    "http_408": Explanation(
        "Refer2 took too long at every attempt; nothing was done", "Send it again by `referrals replay`."
    ),
    "http_425": Explanation(
        "Refer2 put the call off at every attempt; nothing was done", "Send it again by `referrals replay`."
    ),
    "http_429": Explanation(
        f"a server in between says that calls come too fast; {_GOES_ON}",
        "Nothing is to be done: the job is called again when it may be.",
    ),
    "http_5xx": Explanation(
        "Refer2 failed at every attempt; nothing was done",
        "Send it again by `referrals replay` once Refer2 works again.",
    ),
}
"""Every code that has a name: the vendor's first, then ours."""

SHOPS_OWN_RULE: Final = Explanation(
    "the shop's own rule; its message says which",
    "Read the message beside it, and ask the shop about the rule if need be. Once the rule is another, `referrals "
    "replay` sends the job again.",
)
"""Of a code that is neither documented nor ours. Codes are the shop's, and its messages are in its words."""

OUTCOMES: Final[Mapping[Outcome, Explanation]] = {
    "sent": Explanation(
        "Refer2 made the referral, or reused one that existed",
        "Nothing is to be done, but for a `share_action` where the result has one.",
    ),
    "rejected": Explanation("Refer2 says that this job can't be done", "Its code says why."),
    "failed": Explanation(
        "nothing was done; the attempts are spent, or the job alone is refused",
        "Remove the cause that its code names, then `referrals replay`.",
    ),
    "unknown": Explanation("a request went out, and nobody knows whether it was carried out", _LOOK),
    "expired": Explanation(
        "its deadline had passed; it was not called", "Send it again with a later `--expires`, if it is still wanted."
    ),
    "cancelled": Explanation(
        "its campaign was cancelled, or somebody is on a suppression list; it was not called",
        "Nothing is to be done with the code `suppressed`. Else lift the cancellation by `referrals cancel --undo` and "
        "send it again, if it is still wanted.",
    ),
}
"""Every outcome of a job."""

_LOST: Final = frozenset({"timeout", "connection_lost", "unreadable_answer", "interrupted", "unverified"})
"""Codes that say by themselves that a call may have been carried out."""

_REFUSAL_LOST: Final = Explanation(
    "the call was refused, and the part of the answer that says why was lost; nothing was done",
    "Send it again by `referrals replay`.",
)

_STATUS = re.compile(r"http_([1-9])\d\d", re.ASCII)


def explain_code(code: str) -> Explanation:
    """What a code means by itself, whatever became of its job; of any text, since codes come from outside."""
    if code in CODES:
        return CODES[code]
    status = _STATUS.fullmatch(code)
    return CODES.get(f"http_{status[1]}xx", SHOPS_OWN_RULE) if status else SHOPS_OWN_RULE


def explain(outcome: Outcome, code: str | None) -> Explanation:
    """What a result with this outcome and code means; without a code, what its outcome means."""
    if code is None:
        return OUTCOMES[outcome]
    if outcome == "rejected" and code not in DOCUMENTED_CODES:
        # Whatever it reads like: a shop's rule may be called `timeout`.
        return SHOPS_OWN_RULE
    if outcome == "failed" and code in _LOST:
        return _REFUSAL_LOST
    told = explain_code(code)
    if outcome == "unknown" and code not in _LOST:
        # The code is the last call's or the reading's, and the doubt is about an earlier call.
        return Explanation(f"an earlier call may have been carried out; of the last one: {told.meaning}", _LOOK)
    return told
