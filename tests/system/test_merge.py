"""Every golden export from `publish` to `collect --merge`, and `merge` where its output goes elsewhere."""

import csv
import io
import json

import pytest

from tests.services import wait_until
from tests.system.commands import Desk
from tests.system.terminal import Terminal
from tests.system.test_golden_exports import GOLDEN, TOOLS, expected, exports_of
from tests.unit.merging.strip import stripped


def test_golden_exports_come_back(desk: Desk) -> None:
    """Published, answered by the sandbox and collected, each tool's export comes back to the byte with its links."""
    desk.write_shops("http://127.0.0.1:9", TOOLS)
    sandbox = desk.start_sandbox("--shops", "shops.toml")
    desk.write_shops(sandbox.url, TOOLS)
    desk.start("work", "--threads", "8")
    asked = ("--campaign", "spring", "--channel", "whatsapp")
    for tool in TOOLS:
        rejects = f"{tool}.rejects.csv"
        assert desk.run("publish", *exports_of(tool), "--shop", tool, *asked, "--rejects", rejects).returncode == 0
    wait_until(lambda: len(sandbox.calls()) >= sum(len(expected(tool)["jobs"]) for tool in TOOLS), 60, "all calls")
    merging = [argument for path in exports_of("klaviyo") for argument in ("--merge", path)]
    done = desk.run("collect", *merging, *asked, "--shop", "klaviyo", "--out", "klaviyo", "--until-idle", "2")
    assert done.returncode == 0, done.stderr
    assert "merged into" in done.stdout
    for tool in TOOLS:
        if tool != "klaviyo":
            results = ("--results", "klaviyo.results.csv", *asked, "--shop", tool, "--out", tool, "--json")
            done = desk.run("merge", *exports_of(tool), *results)
            assert done.returncode == 0, done.stderr
            outcomes = json.loads(done.stdout)["outcomes"]
            assert sum(outcomes.values()) - outcomes.get("left_out", 0) == len(expected(tool)["jobs"])
        out = desk.folder / tool
        for merged in sorted(out.iterdir()) if out.is_dir() else [out]:
            # Nothing is merged into a suppression list.
            others = ("expected.json", "unsubscribes-and-bounces.csv")
            given = [path for path in sorted((GOLDEN / tool).iterdir()) if path.name not in others]
            (original,) = [path for path in given if path.name == merged.name] or given
            before, after = original.read_bytes(), merged.read_bytes()
            if original.suffix == ".jsonl":
                for old, new in zip(before.splitlines(), after.splitlines(), strict=True):
                    assert new.startswith(old.rstrip()[:-1])
                continue
            delimiter = next(sign for sign in ";\t," if sign in before.decode("utf-8-sig").splitlines()[0])
            width = len(next(csv.reader(io.StringIO(before.decode()), delimiter=delimiter)))
            assert stripped(after, "utf-8", delimiter, width) == before


@pytest.mark.parametrize("columns", [40, 200])
def test_merge_on_a_terminal(desk: Desk, columns: int) -> None:
    """The summary is whole on a narrow and on a wide terminal, without colour, marks a rehearsal, and says what codes
    mean."""
    (desk.folder / "spring.csv").write_text("customer_email\na@example.org\nnobody\nstranger+b@example.org\n")
    run = desk.run("run", "spring.csv", "--campaign", "spring", "--channel", "sms", "--out", "r.csv", "--sandbox")
    assert run.returncode == 0, run.stderr
    command = ("merge", "spring.csv", "--results", "r.csv", "--out", "merged.csv")
    with Terminal(desk, *command, columns=columns, env={"NO_COLOR": "1"}) as terminal:
        raw = terminal.raw()
        assert terminal.process.returncode == 0, raw
    assert all(
        part in " ".join(raw.split())
        for part in ("SANDBOX", "rows read 3", "left out 1", "no_customer 1", "sent 1", "merged into merged.csv")
    )
    piped = desk.run(*command)
    assert (piped.returncode, "\x1b" in piped.stdout) == (0, False)
    assert "note: taken from the results: campaign spring" in piped.stderr
    assert "    no_customers_match_customer_identity  1  the shop has no customer with these ids\n" in piped.stdout
