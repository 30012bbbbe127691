"""What docs/ says is what the code does."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest

from scripts.programs.documents.from_code import DOCS, documents
from tests.unit.rooms import LAYERS, PACKAGES, ROOMS
from worker.campaigns.presets.table import PRESETS
from worker.campaigns.reject_reasons import RejectReason
from worker.cli.main import COMMANDS
from worker.model.job import Customer, Job
from worker.model.message import decode_message, encode_message
from worker.sandbox.config import SANDBOX_SECRET
from worker.text.masking import Mask

ROOT = DOCS.parent
MESSAGES = (DOCS / "messages.md").read_text(encoding="utf-8")
ARCHITECTURE = (DOCS / "architecture.md").read_text(encoding="utf-8")


def fenced(language: str) -> list[str]:
    """The fenced blocks of messages.md in a language."""
    return re.findall(rf"```{language}\n(.*?)```", MESSAGES, re.DOTALL)


def test_derived_documents_are_current() -> None:
    """Every file that is made from the code is what the code makes now."""
    for name, text in documents().items():
        assert (DOCS / name).read_text(encoding="utf-8") == text, f"run scripts/docs for docs/{name}"


def test_every_command_has_its_page() -> None:
    """A page for each command that `referrals --help` lists, from its first sentence to its last option; no other."""
    index = (DOCS / "commands" / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| \[`(\w+)`\]\(\1\.md\) \|", index, re.MULTILINE) == list(COMMANDS)
    assert {path.stem for path in (DOCS / "commands").iterdir()} == {*COMMANDS, "README"}
    page = (DOCS / "commands" / "publish.md").read_text(encoding="utf-8")
    assert "\nreferrals publish EXPORT... [OPTIONS]\n" in page
    assert "\n| `--json` | Print the summary as one JSON object. |\n" in page


def test_documented_message_is_ours_to_the_byte() -> None:
    """The message in the documentation is the one that the package publishes for that job."""
    documented = fenced("json")[0].strip().encode()
    job = Job.create(shop="acme", campaign="spring", customer=Customer(shopid="1234"), channel="whatsapp")
    assert encode_message(job, published_at_ms=1793577600000) == documented
    assert decode_message(documented) == job


def test_example_on_plain_pika_publishes_a_job_that_a_worker_takes() -> None:
    """The example without the package makes a body that decodes to the same job as ours."""
    published: list[tuple[Any, ...]] = []

    class Channel:
        def basic_publish(self, *arguments: Any, **options: Any) -> None:
            published.append((*arguments, options))

    scope: dict[str, Any] = {}
    exec(fenced("python")[0], scope)
    job_id = scope["publish"](Channel(), "acme", "frühling", "1234", "whatsapp")
    exchange, key, body, properties, options = published[0]
    job = Job.create(shop="acme", campaign="frühling", customer=Customer(shopid="1234"), channel="whatsapp")
    assert (exchange, key, options) == ("referrals", "acme", {"mandatory": True})
    assert properties.delivery_mode == 2
    assert decode_message(body) == job
    assert job_id == job.job_id


def test_example_on_plain_pika_has_fifteen_lines_at_most() -> None:
    """A producer in another language has little to port."""
    lines = [line for line in fenced("python")[0].splitlines() if line.strip()]
    assert len(lines) <= 15


def test_schema_of_a_job_accepts_ours_and_refuses_others() -> None:
    """The published schema agrees with the model on a good job and on one without its channel."""
    schema = json.loads((DOCS / "job.schema.json").read_text(encoding="utf-8"))
    job = Job.create(shop="acme", campaign="spring", customer=Customer(shopid="1234"), channel="whatsapp")
    fields = json.loads(encode_message(job, published_at_ms=0))["kwargs"]["job"]
    jsonschema.validate(fields | {"a field of tomorrow": 1}, schema)
    del fields["channel"]
    assert not jsonschema.Draft202012Validator(schema).is_valid(fields)


ON_A_COMMAND_LINE = {
    "a literal for a Secret": r"--from-literal",
    "a password in a URL": r"://[^\s/@:]*:[^\s/@]+@",
    "a password of RabbitMQ's": r"(?:add_user|change_password)[ \t]+\S+[ \t]+[^\s#<]",
    "a password of Redis'": r"redis-cli.*\s-a\b|valkey-cli.*\s-a\b|ACL SETUSER",
    "a variable for a container": r"docker run.*\s(?:-e|--env)\s",
    "a user for curl": r"curl.*\s(?:-u|--user)\b",
    "a key for openssl": r"openssl.*\s-(?:hmac|macopt|K|k|pass|passin|passout)\b",
    "a variable that holds one": r"\$\{?\w*(?:KEY|PASSWORD|SECRET|TOKEN)",
}


@pytest.mark.parametrize("pattern", ON_A_COMMAND_LINE.values(), ids=ON_A_COMMAND_LINE.keys())
def test_no_document_has_a_key_on_a_command_line(pattern: str) -> None:
    """Others on the machine can read it there, and the shell keeps it: examples take it from a file, or ask for it."""
    root = DOCS.parent
    pages = [
        *DOCS.glob("**/*.md"),
        *root.glob("*.md"),
        *root.glob("k8s/**/*.md"),
        root / "compose.yaml",
        root / "Dockerfile",
    ]
    for page in pages:
        text = page.read_text(encoding="utf-8")
        if page.suffix == ".md":
            commands = "\n".join(re.findall(r"^ *```(?:sh|console|bash)?\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE))
        else:
            commands = "\n".join(line for line in text.splitlines() if line.startswith("#"))
        assert not re.search(pattern, commands), f"{page.relative_to(root)}: {pattern}"


def test_documented_hash_is_the_one_in_the_logs() -> None:
    """The command that finds a customer's hash makes, of an address or a number, what a log shows for it."""
    page = (DOCS / "personal-data.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^python3 -c '([^']*)'$", page, re.MULTILINE)
    key = "a key of the tests, ü"
    mask = Mask(key.encode())
    logged_as = {" Ann@Example.com": mask("to Ann@Example.com"), "4915112345678": mask("call +49 151 12345678")}
    for typed, logged in logged_as.items():
        done = subprocess.run(
            [sys.executable, "-c", code],
            input=f"{typed}\n",
            env=os.environ | {"REFERRALS_LOG_KEY": key},
            capture_output=True,
            text=True,
            check=True,
        )
        digits = done.stdout.removeprefix("address: ").strip()
        assert re.search(r":([0-9a-f]+)>", logged)[1] == digits  # type: ignore[index] # fails


def _anchors(page: Path) -> set[str]:
    # As GitHub makes them of headings.
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def test_links_of_documents_lead_to_files_and_headings_that_exist() -> None:
    """Links between and within the documents lead somewhere."""
    root = DOCS.parent
    for page in [*DOCS.glob("**/*.md"), *root.glob("*.md")]:
        for target, _, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(#([^)]+))?\)", page.read_text(encoding="utf-8")):
            named = page.parent / target if target else page
            assert named.exists(), f"{page.name}: {target}"
            if anchor and named.suffix == ".md":
                assert anchor in _anchors(named), f"{page.name}: {target}#{anchor}"


def test_reasons_of_rejected_rows_are_documented() -> None:
    """docs/campaigns.md has each reason for which a row is left out, and no other."""
    page = (
        (DOCS / "campaigns.md")
        .read_text(encoding="utf-8")
        .partition("## Why a row is left out")[2]
        .partition("\n## ")[0]
    )
    told = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    assert sorted(told) == sorted(get_args(RejectReason))


def test_presets_are_documented() -> None:
    """docs/exports.md has a row for each tool whose exports are recognised, and for no other."""
    page = (DOCS / "exports.md").read_text(encoding="utf-8").partition("## Well-known tools")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `([\w-]+)` \|", page, re.MULTILINE)[1:] == list(PRESETS)


def test_architecture_names_only_files_that_exist() -> None:
    """Each path in docs/architecture.md is there, below worker/, docs/ or the repository."""
    named = set(re.findall(r"`([\w./]+(?:/|\.(?:lua|md|py|toml|yml)))`", ARCHITECTURE))
    assert len(named) >= 50
    for path in named:
        assert any((folder / path).exists() for folder in (ROOT, ROOT / "worker", DOCS)), path


@pytest.mark.parametrize("package", PACKAGES)
def test_architecture_names_every_package(package: str) -> None:
    """A package of worker/ is a room of the table, or is named with the room that it lies in."""
    assert package in ROOMS or f"`{package}/`" in ARCHITECTURE


def rooms_of_table(page: str, heading: str) -> list[list[str]]:
    """The rooms that a page's table of layers names, layer by layer: a row without a layer's name goes on with it."""
    rows = re.findall(
        r"^\| *([^|`]*?) *\| (`[^|]+?) \|", page.partition(f"## {heading}\n")[2].partition("\n## ")[0], re.M
    )
    layers: list[list[str]] = []
    for layer, rooms in rows:
        if layer:
            layers.append([])
        layers[-1] += re.findall(r"`(\w+)`", rooms)
    return layers


@pytest.mark.parametrize(
    ("page", "heading"), [("docs/architecture.md", "The rooms"), ("CONTRIBUTING.md", "Where things go")]
)
def test_documented_layers_are_the_rule(page: str, heading: str) -> None:
    """Every room of worker/ is in the table, in the order of .importlinter, and no layer of it is torn apart."""
    table = rooms_of_table((ROOT / page).read_text(encoding="utf-8"), heading)
    assert [room for layer in table for room in layer] == [room for layer in LAYERS for room in layer]
    for layer in LAYERS:
        assert any(set(layer) <= set(rooms) for rooms in table), layer


def test_rule_has_every_room() -> None:
    """What `lint-imports` is told, and the pages with it, is all that lies in worker/."""
    assert {room for layer in LAYERS for room in layer} == ROOMS


def test_readme_draws_the_states_of_the_ledger() -> None:
    """A state of the ledger has the same name in README's drawing, which adds where a job waits in RabbitMQ."""
    states = [
        set(re.findall(r"\b[a-z]+\b(?=:| -->)|(?<=--> )[a-z]+", drawing))
        for page in (ARCHITECTURE, (ROOT / "README.md").read_text(encoding="utf-8"))
        for drawing in re.findall(r"```mermaid\nstateDiagram-v2\n(.*?)```", page, re.DOTALL)
    ]
    ledger, readme = states
    assert ledger == {"started", "waiting", "answered", "done", "uncalled"}
    assert readme - ledger == {"queued", "delayed", "dead"}
    assert ledger < readme


def test_readme_has_the_secret_of_the_emulators_shop() -> None:
    """Its rehearsal on RabbitMQ runs as printed."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"\nprintf %s {SANDBOX_SECRET} > sandbox.key\n" in readme


def test_architecture_lists_every_thread() -> None:
    """A thread that worker/ starts has its row, by its name: what it may touch and what it must never do."""
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "worker").rglob("*.py")]
    names = {name for source in sources for name in re.findall(r'\bname="([\w-]+)", daemon=True', source)}
    assert len(names) >= 8
    assert sum(source.count("threading.Thread(") + source.count("(threading.Thread)") for source in sources) == len(
        names
    )
    assert [name for name in sorted(names) if f"| **{name}**" not in ARCHITECTURE] == []


def test_architecture_lists_who_asks_for_a_shared_store() -> None:
    """The steps to a new store name every module that goes by whether the setting of the shared one is there."""
    steps = ARCHITECTURE.partition("### A new store\n")[2].partition("\n## ")[0]
    paths = [path for path in (ROOT / "worker").rglob("*.py") if "redis_url" in path.read_text(encoding="utf-8")]
    assert paths
    assert [path for path in paths if f"`{path.relative_to(ROOT / 'worker')}`" not in steps] == []


def test_contributing_lists_every_script() -> None:
    """scripts/ holds commands, samples, their programs and the locked build tools; each command is in the table."""
    files = {path.name for path in (ROOT / "scripts").iterdir() if path.name != "__pycache__"}
    commands = files - {"build-requirements.txt", "programs", "samples"}
    table = re.findall(r"^\| (`.*?) \|", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.MULTILINE)
    listed = {name for row in table for name in re.findall(r"`scripts/([\w-]+)", row)}
    assert listed == commands
    assert all(os.access(ROOT / "scripts" / name, os.X_OK) for name in commands)
