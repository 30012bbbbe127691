"""What lies on disk from an earlier run, and what RabbitMQ's metrics page says."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.fuzz.promises import shown, told
from tests.fuzz.target import Target, folder
from tests.unit.making import LEASE, NOON, PLENTY, result_text
from worker.campaigns.dedup import JobIndex
from worker.cli.result_view import lines_of
from worker.clock import ManualClock
from worker.embedded.journal import Journal
from worker.embedded.restore import restore
from worker.errors import InputError, UsageError
from worker.rabbitmq.queue_depths import read
from worker.results.file import Format, ResultsFile
from worker.results.index import ResultIndex
from worker.results.lookup import look_up
from worker.results.parsing import from_csv, from_json
from worker.results.rows import COLUMNS, JSON_COLUMNS, LAYOUTS, header, json_line, row
from worker.results.source import FileSource
from worker.results.wanted import Wanted, keys_of
from worker.store.memory.store import MemoryStore
from worker.store.protocol import AdmitRequest
from worker.text.visible import one_line

HEADER = header()

RESULT = result_text()
JOB_ID = json.loads(RESULT)["job_id"]


def journal(data: bytes) -> None:
    """A journal is refused in one line, or its results make a results file and its calls a store's memory."""
    with folder() as place, JobIndex() as index:
        path = place / "results.csv.journal"
        path.write_bytes(data)
        try:
            with Journal(path, "spring") as found:
                results = list(found.results())
                index.mark_finished(result["job_id"] for result in results)
                store = MemoryStore(ManualClock(NOON), retention=0)
                restore(
                    found.lines(),
                    store,
                    lambda shop, customer, job_id: AdmitRequest(shop, customer, job_id, PLENTY, lease=LEASE),
                )
                written = ResultsFile(place / "results.csv")
                assert written.rebuild(results) == len(results)
                written.close()
                store.admit(AdmitRequest("acme", "b:1", "0" * 32, PLENTY, lease=LEASE))
                found.finished(RESULT)
        except (InputError, UsageError) as error:
            told(error)
            # What is no journal is left as it is; of one that is, at most a part of a line at its end is gone.
            assert data.startswith(path.read_bytes())
            assert data.startswith(b'{"event"') or path.read_bytes() == data
            return
        with Journal(path, "spring") as again:
            assert [result["job_id"] for result in again.results()][-1] == JOB_ID


def results_csv(data: bytes) -> None:
    """A results file is refused in one line and left as it is, or it is gone on with: nothing in it is lost."""
    _resumed(data, "csv")


def results_jsonl(data: bytes) -> None:
    """The same of lines of JSON."""
    _resumed(data, "jsonl")


def _resumed(data: bytes, form: Format) -> None:
    with folder() as place:
        path = place / "results"
        path.write_bytes(data)
        try:
            known = _known(path, form)
        except (InputError, UsageError) as error:
            told(error)
            assert path.read_bytes() == data
            return
        kept = path.read_bytes()
        cut = data[len(kept) :]
        if data.startswith(kept):
            # A crash leaves a part of a row, in CSV perhaps one of several lines.
            assert not cut.endswith(b"\n") or (form == "csv" and b'"' in cut)
        else:
            # Or a part of the header.
            assert form == "csv"
            assert kept == HEADER.encode()
            assert any(header(columns).encode().startswith(data) for columns in LAYOUTS)
        file = ResultsFile(path, form)
        list(file.resume())
        file.add(json.loads(RESULT))
        file.close()
        assert _known(path, form) == [*known, JOB_ID]


def results_read(data: bytes) -> None:
    """A results file is refused in one line, or read: each result can be shown, is found by its keys, is read again by
    its place, and is the same after it is written in either format."""
    with folder() as place:
        path = place / "results"
        path.write_bytes(data)
        try:
            with closing(FileSource([path], shown)) as source:
                for at, result in list(source.located()):
                    assert source.at(at) == result
                    _same_result(source, result)
        except (InputError, UsageError) as error:
            told(error)
        assert path.read_bytes() == data


def _same_result(source: FileSource, result: dict[str, Any]) -> None:
    assert from_json(json_line(result).encode()[:-1]) == result
    again = from_csv(row(result).encode(errors="backslashreplace")[:-1])
    assert keys_of(again) == keys_of(result)
    # An empty text has an empty cell, as nothing has.
    expected = [None if result.get(name) == "" else result.get(name) for name in JSON_COLUMNS]
    assert [again[name] for name in JSON_COLUMNS] == expected
    for key in keys_of(result):
        found = look_up(source, Wanted.parse(key[2:]), limit=99).results
        assert result in found
    for line in lines_of(result, reveal=False):
        shown(one_line(line))


def _known(path: Path, form: Format) -> list[str]:
    file = ResultsFile(path, form)
    with ResultIndex() as index:
        try:
            found = list(file.resume())
        finally:
            file.close()
        for job_id, outcome in found:
            index.check(job_id, outcome)
    return [job_id for job_id, _ in found]


def depths(data: bytes) -> None:
    """Any page is read for the depths that it tells; what is no depth is none."""
    try:
        found = read(data.decode(errors="replace").splitlines())
    except ValueError:
        return
    for depth in found.values():
        assert json.dumps([depth.ready, depth.unacknowledged])
        assert depth.ready >= 0


_EVENTS = (
    b'{"event":"campaign","version":1,"campaign":"spring"}\n',
    b'{"event":"started","job_id":"' + b"0" * 32 + b'","shop":"acme","customer":"b:1","attempts":1,"takeovers":0,',
    b'"unknowns":0,"elapsed":0,"at":1793620800000000}\n',
    b'{"event":"result","result":{"job_id":"' + b"0" * 32 + b'","outcome":"sent"}}\n',
    b'"called":false',
    b'"not_before":1',
    b'"event":"released"',
    b'"event":"repeat"',
    b'"customer":5',
    b"1e999",
    b"-1",
    b"99999999999999999999",
    b"true",
    b"\\ud800",
)
_ROWS = (
    *(header(columns).encode() for columns in LAYOUTS),
    b"," * (len(COLUMNS) - 1),
    b"0" * 32,
    b'"',
    b"\n",
    b"\r",
    b"\0",
    b"\xff",
    b'{"job_id":"' + b"0" * 32 + b'"}\n',
)
_PAGE = (
    b'rabbitmq_detailed_queue_messages_ready{queue="referrals.dead"} ',
    b'rabbitmq_detailed_queue_messages_unacked{vhost="/",queue="a"} ',
    b"1e999",
    b"1.5e3",
    b"...",
    b"e",
    b"+",
    b"\n",
)

TARGETS = (
    Target("journal", journal, _EVENTS),
    Target("results_csv", results_csv, _ROWS),
    Target("results_jsonl", results_jsonl, _ROWS),
    Target(
        "results_read",
        results_read,
        (*_ROWS, b'"attempts":1', b'"finished_at":"2026-11-02T12:00:00Z"', b"\xef\xbb\xbf"),
    ),
    Target("depths", depths, _PAGE, longest=1024),
)
