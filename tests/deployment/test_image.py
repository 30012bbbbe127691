"""The image, as far as it can be tried without an engine: its file, and its build steps in a folder."""

import fnmatch
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from importlib.metadata import distributions
from pathlib import Path

import psutil
import pytest
from packaging.utils import canonicalize_name

from tests.deployment.rendered import ROOT, containers, overlay, workloads
from tests.services import Vhost, wait_until
from tests.system.commands import Desk, Process

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")

INSTRUCTIONS = re.findall(
    r"^([A-Z]+) ((?:.*\\\n)*.*)$", re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE), re.MULTILINE
)


def instructions(name: str) -> list[str]:
    """The arguments of each instruction of that name, in order."""
    return [re.sub(r"\\\n\s*", "", arguments) for each, arguments in INSTRUCTIONS if each == name]


def build_stage() -> list[tuple[str, str]]:
    """Name and arguments of the instructions of the first stage, in order."""
    (start, end) = [number for number, (name, _) in enumerate(INSTRUCTIONS) if name == "FROM"]
    return INSTRUCTIONS[start:end]


def variables(stage: int) -> dict[str, str]:
    """What the ENV of a stage sets."""
    return dict(pair.split("=", 1) for pair in instructions("ENV")[stage].split())


def sent_to_the_engine(path: str) -> bool:
    """Whether .dockerignore lets a path through: the last line that fits decides."""
    decided = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!")
        if not line.startswith("#") and (fnmatch.fnmatch(path, pattern) or path == pattern):
            decided = line.startswith("!")
    return decided


def test_it_runs_as_the_user_that_the_manifests_name() -> None:
    """A number, so that Kubernetes sees that it is not root; the same in image and manifests."""
    (user,) = instructions("USER")
    for workload, pod, labels in workloads(overlay("dev")):
        if labels.get("app.kubernetes.io/name") == "referral-dispatch":
            context = pod["securityContext"]
            assert f"{context['runAsUser']}:{context['runAsGroup']}" == user, workload


def test_signals_reach_the_worker() -> None:
    """Entry point and command are lists: no shell stands between the engine's SIGTERM and the worker."""
    assert json.loads(instructions("ENTRYPOINT")[0]) == ["referrals"]
    assert json.loads(instructions("CMD")[0]) == ["work"]


def test_the_metrics_folder_is_prepared_and_mounted() -> None:
    """The folder that several processes count into is the user's own in the image, and a volume on Kubernetes."""
    folder = variables(1)["PROMETHEUS_MULTIPROC_DIR"]
    made = next(step for step in instructions("RUN") if step.startswith("install -d"))
    assert folder in made.split()
    (worker,) = [container for name, container in containers(overlay("dev")) if name == "referral-worker"]
    assert folder in {mount["mountPath"] for mount in worker["volumeMounts"]}


def test_metrics_are_reached_from_outside_of_the_container() -> None:
    """The image serves them on every address, of IPv6 too, and no manifest takes that back: kubelets ask the pod's."""
    assert variables(1)["REFERRALS_METRICS_HOST"] == "::"
    manifests = [container for name in ("dev", "production") for _, container in containers(overlay(name))]
    assert "REFERRALS_METRICS_HOST" not in json.dumps(manifests) + (ROOT / "compose.yaml").read_text()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The environment that the build stage makes, by its own steps, from the files alone that an engine is sent."""
    context, environment = tmp_path_factory.mktemp("context"), tmp_path_factory.mktemp("image") / "referrals"
    # Caches and index are the machine's; an environment without anything but pip stands for the base image.
    base = tmp_path_factory.mktemp("base") / "python"
    subprocess.run([sys.executable, "-m", "venv", base], check=True)
    env = os.environ | variables(0) | {"UV_PROJECT_ENVIRONMENT": str(environment)}
    env |= {"UV_PYTHON": str(base / "bin" / "python"), "PATH": f"{base / 'bin'}:/usr/bin:/bin"}
    del env["UV_COMPILE_BYTECODE"]
    env.pop("VIRTUAL_ENV", None)
    for name, arguments in build_stage():
        if name == "COPY":
            *sources, _ = arguments.split()
            for source in sources:
                assert sent_to_the_engine(source), source
                if (ROOT / source).is_dir():
                    shutil.copytree(ROOT / source, context / source, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(ROOT / source, context)
        elif name == "RUN":
            command = ["sh", "-ec", arguments.replace("\\\n", "")]
            done = subprocess.run(command, cwd=context, env=env, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
    shutil.rmtree(context)
    return environment


def test_its_parts_are_those_of_the_sbom(built: Path) -> None:
    """What the build steps install is what docs/sbom.json lists, and the project itself: nothing more or less."""
    listed = json.loads((ROOT / "docs" / "sbom.json").read_text(encoding="utf-8"))
    own = listed["metadata"]["component"]
    (packages,) = (built / "lib").glob("python*/site-packages")
    there = {(canonicalize_name(each.name), each.version) for each in distributions(path=[str(packages)])}
    assert there == {(part["name"], part["version"]) for part in (*listed["components"], own)}


def test_every_build_tool_is_held_to_a_hash() -> None:
    """pip and the build of the wheel both check hashes, and no step installs what no file of ours locks."""
    steps = [arguments for name, arguments in build_stage() if name == "RUN"]
    pip, dependencies, project = steps
    assert "--require-hashes -r build-requirements.txt" in pip
    assert "--frozen" in dependencies
    assert "--no-build" in dependencies.split()
    assert "--build-constraints build-requirements.txt --require-hashes" in project
    assert "uv pip install --no-deps" in project
    text = (ROOT / "scripts" / "build-requirements.txt").read_text(encoding="utf-8").replace("\\\n", "")
    listed = [line for line in text.splitlines() if not line.startswith("#")]
    assert {line.split("==")[0] for line in listed} >= {"uv", "hatchling"}
    assert all("==" in line and "--hash=sha256:" in line for line in listed)


def test_its_build_steps_make_it(built: Path) -> None:
    """The steps install the locked project without its tools or its builders, and need no sources afterwards."""
    done = subprocess.run([built / "bin" / "referrals", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("referrals ")
    (packages,) = (built / "lib").glob("python*/site-packages")
    assert (packages / "worker" / "store" / "redis" / "lua" / "admit.lua").exists()
    assert not (packages / "pytest").exists()
    assert not (packages / "hatchling").exists()


@pytest.fixture
def desk(tmp_path: Path, vhost: Vhost) -> Iterator[Desk]:
    """A folder on a virtual host of its own; what still runs is ended after the test."""
    with closing(Desk.of(tmp_path, vhost.url)) as made:
        yield made


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make namespaces everywhere")
def test_as_process_one_on_a_read_only_root_it_works_and_drains(built: Path, tmp_path: Path, desk: Desk) -> None:
    """As in a container: pid 1, nothing writable but its two folders, and stale metrics left by the one before."""
    writable, metrics = tmp_path / "tmp", tmp_path / "metrics"
    desk.write_shops("http://127.0.0.1:9", ["acme"])
    sandbox = desk.start_sandbox("--shops", "shops.toml")
    desk.write_shops(sandbox.url, ["acme"])
    for folder in (writable, metrics):
        folder.mkdir()
    left = metrics / "referral-metrics-1-4711-killed"
    left.mkdir()
    (left / "counter_1.db").write_bytes(b"left by a container that was killed")
    root = tmp_path / "root"
    root.mkdir()
    enter = (
        'mount --rbind / "$1" && mount -o remount,bind,ro "$1" && '
        'for each in "$2" "$3"; do mount --bind "$each" "$1$each"; done && '
        'mount -t proc proc "$1/proc" && exec chroot "$1" sh -c \'cd "$0" && exec "$1" work\' "$4" "$5"'
    )
    command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", enter, "sh"]
    command += map(str, (root, writable, metrics, tmp_path, built / "bin" / "referrals"))
    env = desk.env | {"TMPDIR": str(writable), "PROMETHEUS_MULTIPROC_DIR": str(metrics), "HOME": "/nowhere"}
    outside = Process(command, tmp_path, env, "contained")
    desk.processes.append(outside)
    wait_until(lambda: "subscribed" in outside.stderr or not outside.running(), 60, "the worker to subscribe")
    desk.write_export("export.csv", [{"shop": "acme", "customer_email": "c@example.com", "channel": "sms"}])
    assert desk.run("publish", "export.csv", "--campaign", "spring").returncode == 0
    wait_until(lambda: sandbox.calls() or not outside.running(), 60, "its call")
    wait_until(lambda: desk.metrics()["refer2_responses_total", "acme", "ok"] == 1, 30, "its count")
    (inside,) = psutil.Process(outside.pid).children()
    inside.send_signal(signal.SIGTERM)
    assert outside.wait(60) == 0, outside.stderr
    assert "Read-only file system" not in outside.stderr
    assert list(metrics.iterdir()) == []
