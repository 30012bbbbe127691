"""The image's file, as far as it can be checked without a build; scripts/image builds it and runs tests/image."""

import fnmatch
import json
import re

from tests.deployment.rendered import ROOT, containers, overlay, workloads

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


def variables() -> dict[str, str]:
    """What the ENV of the last stage sets."""
    return dict(pair.split("=", 1) for pair in instructions("ENV")[-1].split())


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
    folder = variables()["PROMETHEUS_MULTIPROC_DIR"]
    made = next(step for step in instructions("RUN") if step.startswith("install -d"))
    assert folder in made.split()
    (worker,) = [container for name, container in containers(overlay("dev")) if name == "referral-worker"]
    assert folder in {mount["mountPath"] for mount in worker["volumeMounts"]}


def test_metrics_are_reached_from_outside_of_the_container() -> None:
    """The image serves them on every address, of IPv6 too, and no manifest takes that back: kubelets ask the pod's."""
    assert variables()["REFERRALS_METRICS_HOST"] == "::"
    manifests = [container for name in ("dev", "production") for _, container in containers(overlay(name))]
    assert "REFERRALS_METRICS_HOST" not in json.dumps(manifests) + (ROOT / "compose.yaml").read_text()


def test_an_engine_is_sent_what_the_file_copies() -> None:
    """.dockerignore leaves out no source of a COPY."""
    for arguments in instructions("COPY"):
        *sources, _ = arguments.split()
        if not arguments.startswith("--from"):
            assert all(map(sent_to_the_engine, sources)), sources


def test_every_build_tool_is_held_to_a_hash() -> None:
    """pip and the build of the wheel both check hashes, and no step installs what no file of ours locks.

    But for strip, where the base has none: it is of the base's own distribution, which signs it.
    """
    steps = [arguments for name, arguments in build_stage() if name == "RUN"]
    strip, pip, dependencies, project, bytecode = steps
    assert strip.split("apt-get install -y --no-install-recommends ")[1] == "binutils; }"
    assert not any(word in bytecode for word in ("install", "pip", "uv ", "apt"))
    assert "--require-hashes -r build-requirements.txt" in pip
    assert "--frozen" in dependencies
    assert "--no-build" in dependencies.split()
    assert "--build-constraints build-requirements.txt --require-hashes" in project
    assert "uv pip install --no-deps" in project
    text = (ROOT / "scripts" / "build-requirements.txt").read_text(encoding="utf-8").replace("\\\n", "")
    listed = [line for line in text.splitlines() if not line.startswith("#")]
    assert {line.split("==")[0] for line in listed} >= {"uv", "hatchling"}
    assert all("==" in line and "--hash=sha256:" in line for line in listed)
