"""Names, texts and headers from outside can't steer a terminal and run nothing in a spreadsheet."""

import hashlib
import json
import re
import signal
import threading
import unicodedata
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests import hostile
from tests.integration.rabbitmq.tap import tapping
from tests.services import Vhost, wait_until
from tests.system.commands import Desk

CAMPAIGN = hostile.TEXT.strip()[:200]


class HostileShop(BaseHTTPRequestHandler):
    """Stands for Refer2 and answers each call with a text that steers a terminal."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        answer = {"message": hostile.TEXT, "referral": {"link": f"https://x.example/{hostile.TEXT}"}}
        body = json.dumps(answer | {"share_action": {"text": hostile.TEXT}}, ensure_ascii=False).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """No output."""


@pytest.fixture
def shop_url() -> Iterator[str]:
    """Where the hostile shop answers."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), HostileShop)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    serving.join()
    server.server_close()


def job(customer: str) -> dict[str, Any]:
    """A job as an older producer, or one in another language, makes it: every text steers, and the id is right."""
    shopid = f"{customer}{hostile.TEXT}"[:320].strip()
    destination, channel = hostile.TEXT[:320].strip(), hostile.TEXT[:64].strip()
    identity = ["acme", CAMPAIGN, 0, None, shopid, None, channel, destination.lower()]
    compact = json.dumps(identity, ensure_ascii=False, separators=(",", ":"))
    return {
        "schema": 1,
        "job_id": hashlib.sha256(compact.encode()).hexdigest()[:32],
        "campaign": CAMPAIGN,
        "shop": "acme",
        "customer": {"shopid": shopid},
        "channel": channel,
        "destination": destination,
        "sender": hostile.TEXT[:320],
        "reference": hostile.TEXT,
        "x\x1bown": hostile.TEXT,
    }


def message(number: int) -> bytes:
    """Its message."""
    arguments = {"job": job(f"c{number}")}
    return json.dumps({"queue_name": "referrals", "actor_name": "refer", "args": [], "kwargs": arguments}).encode()


def result(number: int) -> bytes:
    """A result that a worker didn't write."""
    said = {"message": hostile.TEXT, "share_action": hostile.TEXT, "code": hostile.TEXT[:64]}
    ended = {"outcome": "rejected", "attempts": 1, "line": 1, "finished_at": "2026-11-26T00:00:00Z"}
    return json.dumps(job(f"r{number}") | said | ended).encode()


def test_no_text_reaches_a_screen_or_a_file_raw(desk: Desk, vhost: Vhost, redis_url: str, shop_url: str) -> None:
    """Every command over jobs, answers, results, dead letters, headers, columns and files of hostile texts."""
    desk.env |= {
        "REFERRALS_REDIS_URL": redis_url,
        "REFERRALS_LOG_FORMAT": "console",
        "REFERRALS_LOG_LEVEL": "DEBUG",
    }
    desk.write_shops(shop_url, ["acme"])
    name = "ev\x1b[31mil\u202e.csv"
    # A reference with a control character is refused; the other hostile texts are sent.
    sent = "".join(sign for sign in hostile.TEXT if unicodedata.category(sign) != "Cc")
    rows = [{"customer_shopid": f"h{n}", "reference": sent, "channel": "sms", hostile.TEXT: "x"} for n in range(3)]
    desk.write_export(name, [*rows, rows[0] | {"customer_shopid": ""}, rows[0] | {"reference": hostile.TEXT}])
    said: list[str] = []

    def told(*arguments: str, code: int = 0) -> str:
        done = desk.run(*arguments)
        assert done.returncode == code, done.stderr
        said.extend((done.stdout, done.stderr))
        return done.stdout + done.stderr

    refusal = told("publish", name, "--campaign", CAMPAIGN, "--shop", "acme", code=2)
    assert "holds control, bidirectional or zero-width characters" in refusal
    assert len(refusal.splitlines()) == 1
    told("run", name, "--campaign", CAMPAIGN, "--shop", "acme", "--out", "run.csv", code=2)
    told("run", name, "--campaign", "spring", "--shop", "acme", "--out", f"run{name}")
    told("publish", name, "--campaign", "spring", "--shop", "acme")
    work = desk.start("work")
    wait_until(lambda: "subscribed" in work.stderr, 60, "the worker")
    collect = desk.start("collect", "--out", "results.csv")
    with tapping(vhost) as tap:
        for number in range(3):
            tap.put("referrals", "acme", message(number))
            tap.put("referrals.results", "acme.sent.ok.plain", result(number))
            named = {"x-referral-reason": hostile.TEXT, "x-referral-detail": hostile.TEXT, "x-\x1bown": hostile.TEXT}
            tap.put(
                "referrals.dead", hostile.TEXT.encode()[:100].decode(errors="ignore"), message(number), headers=named
            )
        tap.put("referrals.dead", "acme", hostile.TEXT.encode(), headers=named)
        tap.put("referrals", "acme", message(9).replace(b'"refer"', json.dumps(hostile.TEXT).encode()))
        wait_until(lambda: len(desk.results()) >= 9, 60, "the results")
        tap.put("referrals.results", "acme.sent.ok.plain", result(99))
        wait_until(lambda: len(desk.results()) >= 10, 60, "the last result")
    collect.signal(signal.SIGTERM)
    assert collect.wait(60) == 0
    for command in (["status"], ["status", CAMPAIGN, "--json"], ["shops", "list"], ["dead", "list"], ["dead", "show"]):
        assert told(*command)
    told("dead", "show", "--reveal", "--limit", "20")
    told("dead", "show", "--reveal", "--json")
    told("dead", "list", "--json")
    told("shops", "pause", "acme", "--reason", hostile.TEXT, code=2)
    told("shops", "resume", hostile.TEXT, code=2)
    told("cancel", CAMPAIGN, "--yes")
    told("cancel", CAMPAIGN, "--yes", "--json")
    told("dead", "replay", "--all", code=1)
    told("cancel", CAMPAIGN, "--undo")
    told("dead", hostile.TEXT, code=2)
    told("run", hostile.TEXT, "--campaign", "c", "--out", "x", "--map", hostile.TEXT, code=2)
    told("dead", "drop", "--all", "--yes")
    work.signal(signal.SIGTERM)
    assert work.wait(60) == 0

    (desk.folder / "said.out").write_text("".join(said))
    written = {path: path.read_bytes() for path in desk.folder.iterdir() if path.is_file() and path.name != name}
    assert {path.suffix for path in written} >= {".out", ".err", ".csv", ".journal"}
    for path, content in written.items():
        assert list(hostile.raw(content)) == [], path.name
        lines = content.decode().splitlines()
        assert not [line for line in lines if line.startswith("shop acme is fine")], path.name
        assert content.count(b"\r") == content.count(b"\r\n"), path.name
    everything = b"".join(written.values()).decode()
    assert "[link=http://evil.example]here :smile:" in everything
    assert_given_back(desk, "results.csv", "message")


def assert_given_back(desk: Desk, name: str, column: str) -> None:
    """By the rule in docs/personal-data.md, done here by hand, the shop's text is restored."""
    texts = {row[column] for row in desk.results(name)}
    marks = {"\\n": "\n", "\\r": "\r", "\\t": "\t", "\\\\": "\\"}
    escape = re.compile(r"\\(?:[\\nrt]|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})")
    back = {
        escape.sub(lambda found: marks.get(found[0]) or chr(int(found[0][2:], 16)), text.replace(";'=", ";="))
        for text in texts
    }
    assert back == {hostile.TEXT}
