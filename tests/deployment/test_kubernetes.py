"""The manifests in k8s/, as rendered: what a cluster would refuse, and what no schema sees."""

import base64
import ipaddress
import json
import os
import re
import textwrap
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import typer.main

from scripts.programs.documents.manifests import DASHBOARDS, manifests
from tests.deployment.rendered import (
    OVERLAYS,
    ROOT,
    Object,
    containers,
    is_custom,
    keys,
    matches,
    of_kind,
    overlay,
    references,
    render,
    render_on,
    workloads,
)
from worker.cli.main import app
from worker.cli.work import SHUTDOWN_MS
from worker.instants import SECOND
from worker.sandbox.config import SANDBOX_KEY_ID, SANDBOX_SECRET
from worker.scheduling.loop import DRAIN
from worker.settings import PREFIX, Settings
from worker.shops.config import ShopTable

README = (ROOT / "k8s" / "README.md").read_text(encoding="utf-8")

OLDEST = "1.29"
"""Older clusters are no longer maintained by anybody."""

OURS = {"app.kubernetes.io/name": "referral-dispatch"}

_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(m|k|M|G|Ki|Mi|Gi)?")
_SUFFIXES = {None: 1, "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


def is_ours(labels: dict[str, str]) -> bool:
    """Whether pods with these labels run our image."""
    return OURS.items() <= labels.items()


overlays = pytest.mark.parametrize("name", OVERLAYS)


def quantity(text: object) -> Decimal:
    """A quantity's value: cores or bytes."""
    found = _QUANTITY.fullmatch(str(text))
    assert found, f"{text!r} is no quantity"
    number, suffix = Decimal(found[1]), found[2]
    return number / 1000 if suffix == "m" else number * _SUFFIXES[suffix]


def named(objects: list[Object], kind: str, name: str) -> Object:
    """The object of that kind and name."""
    (found,) = [each for each in of_kind(objects, kind) if each["metadata"]["name"] == name]
    return found


def env_file(first_line: str) -> dict[str, str]:
    """What the README has its reader write into a file, by the fenced block whose first line names it."""
    found = re.findall(r"^```ini\n# (.*)\n((?:.*\n)*?)```", README, re.MULTILINE)
    (lines,) = [lines for files, lines in found if first_line in (files, *files.split(", "))]
    return dict(line.split("=", 1) for line in lines.splitlines())


def made_by_hand() -> dict[str, set[str]]:
    """The Secrets that the README has its reader make, with their keys."""
    made = {}
    for name, rest in re.findall(r"create secret generic (\S+)((?: \\\n|[^\n])*)", README):
        given = re.findall(r"--from-file=([^=\s]+)", rest)
        made[name] = {key.rsplit("/", 1)[-1] for key in given}
        for file in re.findall(r"--from-env-file=(\S+)", rest):
            made[name] |= env_file(file).keys()
    return made


@overlays
@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
def test_every_object_is_valid(name: str, version: str) -> None:
    """Each object of a core kind fits Kubernetes' own schema, unknown fields forbidden."""
    for each in overlay(name):
        if not is_custom(each):
            kubernetes_validate.validate(each, version, strict=True)


@pytest.mark.parametrize("component", [each.name for each in sorted((ROOT / "k8s" / "components").iterdir())])
def test_a_component_is_part_of_production(component: str) -> None:
    """One of both overlays has it, so that all tests see it; what they only show has tests of its own."""
    texts = [(ROOT / "k8s" / "overlays" / name / "kustomization.yaml").read_text() for name in ("production", "ha")]
    assert any(f"../../components/{component}" in text for text in texts)


@overlays
def test_names_are_unique_and_in_one_namespace(name: str) -> None:
    """No object replaces another, and all of an overlay is in the namespace that it makes."""
    objects = render(f"overlays/{name}")
    identities = [(each["kind"], each["metadata"]["name"]) for each in objects]
    assert len(set(identities)) == len(identities)
    (namespace,) = of_kind(objects, "Namespace")
    assert {each["metadata"].get("namespace") for each in objects if each["kind"] != "Namespace"} == {
        namespace["metadata"]["name"]
    }


@overlays
def test_pods_are_restricted(name: str) -> None:
    """Every pod fits the restricted standard that the namespace enforces, on a read-only root, without a token."""
    (namespace,) = of_kind(overlay(name), "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for workload, pod, _ in workloads(overlay(name)):
        assert pod["automountServiceAccountToken"] is False, workload
        context = pod["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["runAsUser"] > 0
        assert context["seccompProfile"]["type"] == "RuntimeDefault"
    for workload, container in containers(overlay(name)):
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False, workload
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}


@overlays
def test_resources_are_sound(name: str) -> None:
    """Quantities parse; memory is requested and limited, CPU requested; what is in memory fits into the limit."""
    for workload, pod, _ in workloads(overlay(name)):
        in_memory = Decimal(0)
        for volume in pod.get("volumes", ()):
            size = volume.get("emptyDir", {}).get("sizeLimit")
            if "emptyDir" in volume:
                assert size, f"{workload}: {volume['name']} may fill the node"
                in_memory += quantity(size) if volume["emptyDir"].get("medium") == "Memory" else 0
        for container in pod["containers"]:
            requests, limits = container["resources"]["requests"], container["resources"]["limits"]
            assert 0 < quantity(requests["cpu"]) <= 4, workload
            assert in_memory < quantity(requests["memory"]) <= quantity(limits["memory"]) <= 2**31
    for claim in of_kind(overlay(name), "PersistentVolumeClaim"):
        assert quantity(claim["spec"]["resources"]["requests"]["storage"]) >= 2**30


@overlays
def test_selectors_match(name: str) -> None:
    """Whatever selects pods selects some of the overlay: workloads their own, budgets, services, monitors, policies."""
    objects = overlay(name)
    pods = {workload: labels for workload, _, labels in workloads(objects)}
    for each in of_kind(objects, "Deployment", "StatefulSet"):
        assert matches(each["spec"]["selector"], pods[each["metadata"]["name"]])
        others = [labels for other, labels in pods.items() if other != each["metadata"]["name"]]
        assert not any(matches(each["spec"]["selector"], labels) for labels in others), "takes another's pods"
    outside = [] if name == "dev" else [{f"app.kubernetes.io/{key}": "rabbitmq" for key in ("name", "component")}]
    for each in of_kind(objects, "PodDisruptionBudget", "Service", "PodMonitor", "NetworkPolicy"):
        spec = each["spec"]
        selector = spec.get("podSelector", spec.get("selector"))
        if each["kind"] == "Service":
            selector = {"matchLabels": selector}
        assert any(matches(selector, labels) for labels in [*pods.values(), *outside]), each["metadata"]["name"]
    for workload, pod, labels in workloads(objects):
        for constraint in pod.get("topologySpreadConstraints", ()):
            assert matches(constraint["labelSelector"], labels), workload


@overlays
def test_references_exist(name: str) -> None:
    """Each ConfigMap, Secret and key that a pod asks for is in the overlay, or the README has it made beforehand."""
    objects = overlay(name)
    for workload, pod, _ in workloads(objects):
        for kind, referred, key in references(pod):
            found = keys(objects, kind, referred)
            if found is None and kind == "secret":
                found = made_by_hand().get(referred)
            assert found is not None, f"{workload}: no {kind} {referred}"
            assert key is None or key in found, f"{workload}: no key {key} in {kind} {referred}"
        claims = {
            volume["persistentVolumeClaim"]["claimName"]
            for volume in pod.get("volumes", ())
            if "persistentVolumeClaim" in volume
        }
        assert claims <= {claim["metadata"]["name"] for claim in of_kind(objects, "PersistentVolumeClaim")}
        if "serviceAccountName" in pod:
            assert named(objects, "ServiceAccount", pod["serviceAccountName"])["automountServiceAccountToken"] is False


@overlays
def test_volumes_are_mounted_and_mounts_have_volumes(name: str) -> None:
    """No mount lacks its volume, and no volume is left over."""
    claimed = {
        each["metadata"]["name"]: [claim["metadata"]["name"] for claim in each["spec"].get("volumeClaimTemplates", ())]
        for each in of_kind(overlay(name), "StatefulSet")
    }
    for workload, pod, _ in workloads(overlay(name)):
        volumes = [volume["name"] for volume in pod.get("volumes", ())] + claimed.get(workload, [])
        mounted = {mount["name"] for container in pod["containers"] for mount in container.get("volumeMounts", ())}
        assert mounted == set(volumes), workload


@overlays
def test_variables_are_settings(name: str) -> None:
    """Every environment variable that a manifest gives our image is a setting, with a value that the setting takes."""
    objects = overlay(name)
    known = {f"{PREFIX}{field.upper()}" for field in Settings.model_fields}
    ours = [(workload, each) for workload, each in containers(objects) if "referral-dispatch" in each["image"]]
    for workload, container in ours:
        given = {variable["name"]: variable.get("value") for variable in container.get("env", ())}
        for source in container.get("envFrom", ()):
            given |= named(objects, "ConfigMap", source["configMapRef"]["name"])["data"]
        assert set(given) <= known, workload
        values = {name.removeprefix(PREFIX).lower(): value for name, value in given.items() if value is not None}
        Settings.model_validate(values | {"amqp_url": "amqp://broker", "redis_url": None})


@overlays
def test_ports_agree(name: str) -> None:
    """Probes, services, monitors and policies name ports of the containers; metrics have the worker's usual one."""
    objects = overlay(name)
    ports: dict[str, dict[str, int]] = {}
    for workload, container in containers(objects):
        own = {port["name"]: port["containerPort"] for port in container.get("ports", ())}
        ports.setdefault(workload, {}).update(own)
        for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
            probe = container.get(kind, {})
            for way in ("httpGet", "tcpSocket"):
                assert way not in probe or probe[way]["port"] in own, f"{workload}: {kind}"
    assert ports["referral-worker"]["metrics"] == Settings.model_fields["metrics_port"].default
    labelled = {workload: labels for workload, _, labels in workloads(objects)}
    for service in of_kind(objects, "Service"):
        (target,) = [
            w for w, labels in labelled.items() if matches({"matchLabels": service["spec"]["selector"]}, labels)
        ]
        for port in service["spec"]["ports"]:
            assert port["targetPort"] in ports[target]
            assert ports[target][port["targetPort"]] == port["port"], "policies see the container's port"
    for monitor in of_kind(objects, "PodMonitor"):
        for target in [w for w, labels in labelled.items() if matches(monitor["spec"]["selector"], labels)]:
            assert {end["port"] for end in monitor["spec"]["podMetricsEndpoints"]} <= set(ports[target])
    for policy in of_kind(objects, "NetworkPolicy"):
        targets = [w for w, labels in labelled.items() if matches(policy["spec"]["podSelector"], labels)]
        for rule in policy["spec"].get("ingress", ()):
            allowed = {port["port"] for port in rule["ports"]}
            assert all(allowed <= set(ports[target].values()) for target in targets), policy["metadata"]["name"]


def egress(objects: list[Object], labels: dict[str, str]) -> list[tuple[dict[str, Any], set[int]]]:
    """Where pods with these labels may connect to, as (peer, ports)."""
    return [
        (peer, {port["port"] for port in rule["ports"]})
        for policy in of_kind(objects, "NetworkPolicy")
        if matches(policy["spec"]["podSelector"], labels)
        for rule in policy["spec"].get("egress", ())
        for peer in rule["to"]
    ]


@overlays
def test_our_pods_reach_what_they_need_and_nothing_else(name: str) -> None:
    """All are denied but for DNS: broker for who speaks to it, store for workers and who publishes, API for workers."""
    objects = overlay(name)
    needs = {
        "worker": {53, 5671, 5672, 6379, 443} | ({8085} if name == "dev" else set()),
        "publish": {53, 5671, 5672, 6379},
        "collect": {53, 5671, 5672},
        "sandbox": {53},
    }
    denied = named(objects, "NetworkPolicy", "referral-deny")["spec"]
    for _, _, labels in workloads(objects):
        if not is_ours(labels):
            continue
        assert matches(denied["podSelector"], labels)
        peers = egress(objects, labels)
        assert {port for _, allowed in peers for port in allowed} == needs[labels["app.kubernetes.io/component"]]
        assert all(peer for peer, _ in peers), "an empty peer is everybody"
    assert sorted(denied["policyTypes"]) == ["Egress", "Ingress"]
    assert "ingress" not in denied
    assert "egress" not in denied


@overlays
def test_who_has_the_store_s_url_reaches_the_store_and_nobody_else(name: str) -> None:
    """Workers and the Job that publishes are given the URL and let out to the store, which lets them alone in."""
    objects = overlay(name)
    ours = [(pod, labels) for _, pod, labels in workloads(objects) if is_ours(labels)]
    component = "app.kubernetes.io/component"
    given = {
        labels[component]
        for pod, labels in ours
        if any(variable["name"] == "REFERRALS_REDIS_URL" for variable in pod["containers"][0].get("env", ()))
    }
    let_out = {
        labels[component] for _, labels in ours if any(6379 in allowed for _, allowed in egress(objects, labels))
    }
    assert given == let_out == {"worker", "publish"}
    if name == "dev":
        (rule,) = named(objects, "NetworkPolicy", "valkey")["spec"]["ingress"]
        (peer,) = rule["from"]
        assert {labels[component] for _, labels in ours if matches(peer["podSelector"], labels)} == given


def test_who_publishes_needs_no_store() -> None:
    """A Secret of before, without the store's URL, still starts the Job."""
    (job,) = of_kind(render("publish"), "Job")
    (variable,) = [
        each
        for each in job["spec"]["template"]["spec"]["containers"][0]["env"]
        if each["name"] == "REFERRALS_REDIS_URL"
    ]
    assert variable["valueFrom"]["secretKeyRef"]["optional"] is True


@overlays
def test_workers_have_the_key_of_suppressed_addresses(name: str) -> None:
    """A Secret of before, without it, still starts them; those of dev and of the README have one that is taken."""
    (worker,) = [pod for workload, pod, _ in workloads(overlay(name)) if workload == "referral-worker"]
    given = {each["name"]: each.get("valueFrom") for each in worker["containers"][0]["env"]}
    store, key = (given[f"{PREFIX}{setting}"]["secretKeyRef"] for setting in ("REDIS_URL", "SUPPRESSION_KEY"))
    assert key == {"name": store["name"], "key": f"{PREFIX}SUPPRESSION_KEY", "optional": True}


INSIDE = (
    "10.1.2.3",
    "100.100.100.200",
    "127.0.0.1",
    "168.63.129.16",
    "169.254.169.254",
    "172.31.255.1",
    "192.0.0.192",
    "192.168.1.1",
    "198.19.0.1",
    "224.0.0.1",
    "255.255.255.255",
)
"""Of each kind of address that is no host of the internet, one; among them where clouds hand out credentials."""

INSIDE_6 = ("::1", "::ffff:10.1.2.3", "fd00:ec2::254", "fd20:ce::254", "fe80::1", "ff02::1", "2002:a9fe:a9fe::1")


def behind_nat64(address: str) -> str:
    """An IPv4 address as pods without IPv4 write it."""
    return f"64:ff9b::{address}"


@overlays
def test_calls_go_to_the_internet_by_443_and_nowhere_inside(name: str) -> None:
    """The policy for the API lets no private, link-local or metadata address through, behind NAT64 either."""
    (rule,) = named(overlay(name), "NetworkPolicy", "referral-api")["spec"]["egress"]
    assert [(port["protocol"], port["port"]) for port in rule["ports"]] == [("TCP", 443)]
    blocks = [
        (ipaddress.ip_network(peer["ipBlock"]["cidr"]), [ipaddress.ip_network(n) for n in peer["ipBlock"]["except"]])
        for peer in rule["to"]
    ]
    assert all(each != block and each.subnet_of(block) for block, left_out in blocks for each in left_out)  # type: ignore[arg-type] # both of one version

    def passes(text: str) -> bool:
        address = ipaddress.ip_address(text)
        return any(address in block and not any(address in each for each in left_out) for block, left_out in blocks)

    outside = ("8.8.8.8", "203.0.114.1", "2606:4700::1111", behind_nat64("8.8.8.8"))
    assert [address for address in outside if not passes(address)] == []
    inside = (*INSIDE, *INSIDE_6, *map(behind_nat64, INSIDE))
    assert [address for address in inside if passes(address)] == []


@overlays
def test_policies_name_the_namespace_of_each_peer(name: str) -> None:
    """A pod elsewhere that gives itself a label is no peer: each is in the policy's own namespace or in a named one."""
    for policy in of_kind(overlay(name), "NetworkPolicy"):
        rules = [*policy["spec"].get("ingress", ()), *policy["spec"].get("egress", ())]
        for peer in [peer for rule in rules for peer in (rule.get("from") or rule["to"])]:
            if "ipBlock" in peer:
                continue
            assert peer["podSelector"], policy["metadata"]["name"]
            selector = peer.get("namespaceSelector")
            assert selector is None or selector["matchLabels"]["kubernetes.io/metadata.name"]


def example(start: str) -> str:
    """The fenced YAML of the README that begins with these words."""
    (found,) = [
        text
        for block in re.findall(r"^ *```yaml\n(.*?)^ *```", README, re.DOTALL | re.MULTILINE)
        if (text := textwrap.dedent(block)).startswith(start)
    ]
    return found


def test_patches_for_peers_elsewhere_apply(tmp_path: Path) -> None:
    """The README's example moves broker, Prometheus and API to where it says, and leaves good objects."""
    objects = render_on("overlays/production", tmp_path, example("patches:\n  - target: {kind: NetworkPolicy"))
    policies = {each["metadata"]["name"]: each["spec"] for each in of_kind(objects, "NetworkPolicy")}
    (broker,) = policies["referral-broker"]["egress"][0]["to"]
    assert broker["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "rabbitmq"}
    assert broker["podSelector"]["matchLabels"] == {"app.kubernetes.io/component": "rabbitmq"}
    (prometheus,) = policies["referral-metrics"]["ingress"][0]["from"]
    assert prometheus["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "observability"}
    assert policies["referral-api"]["egress"] == [
        {"to": [{"ipBlock": {"cidr": "198.51.100.7/32"}}], "ports": [{"protocol": "TCP", "port": 3128}]}
    ]
    for each in of_kind(objects, "NetworkPolicy"):
        kubernetes_validate.validate(each, OLDEST, strict=True)


@pytest.mark.parametrize("base", ["overlays/production", "publish"])
def test_an_authority_of_one_s_own_is_mounted_where_urls_name_it(base: str, tmp_path: Path) -> None:
    """With the component each of ours that connects has the file, and objects stay good."""
    component = os.path.relpath(ROOT / "k8s" / "components" / "authorities", tmp_path.resolve())
    objects = render_on(base, tmp_path, f"components: [{component}]\n")
    mounted = set()
    for workload, pod, labels in workloads(objects):
        (volume,) = [each["configMap"] for each in pod["volumes"] if each["name"] == "authorities"]
        assert volume["name"] in re.findall(r"create configmap (\S+) .*--from-file=ca\.pem", README)
        (mount,) = [each for each in pod["containers"][0]["volumeMounts"] if each["name"] == "authorities"]
        for url in env_file("worker.env by TLS").values():
            assert re.search(rf"={mount['mountPath']}/{volume['items'][0]['path']}$", url), workload
        mounted.add(labels["app.kubernetes.io/component"])
    assert mounted == ({"publish"} if base == "publish" else {"worker", "collect"})
    for each in of_kind(objects, "Deployment", "Job"):
        kubernetes_validate.validate(each, OLDEST, strict=True)


def test_the_api_s_authority_is_a_setting(tmp_path: Path) -> None:
    """The README's example gives the workers the file, whose path the component mounts, and rolls them."""
    example_settings = example("configMapGenerator:\n  - name: referral-settings")
    (settings,) = [
        each
        for each in of_kind(render_on("overlays/production", tmp_path, example_settings), "ConfigMap")
        if each["metadata"]["name"].startswith("referral-settings-")
    ]
    path = env_file("worker.env by TLS")["REFERRALS_AMQP_URL"].partition("cacertfile=")[2]
    assert settings["data"] == {"REFERRALS_CA_FILE": path, "REFERRALS_LOG_LEVEL": "INFO"}


@pytest.mark.parametrize("file", ["worker.env", "publish.env", "collect.env", "worker.env by TLS"])
def test_urls_of_the_readme_are_taken(file: str) -> None:
    """They lead within the cluster, where the plain ones need no leave, and have options that are known."""
    urls = env_file(file)
    Settings.model_validate({name.removeprefix(PREFIX).lower(): value for name, value in urls.items()})
    assert {name.partition("=")[0] for url in urls.values() for name in url.partition("?")[2].split("&")} <= {
        "",
        "cacertfile",
        "ssl_ca_certs",
    }


def secrets_of(pod: Object) -> set[str]:
    """The Secrets that a pod's spec asks for."""
    return {name for kind, name, _ in references(pod) if kind == "secret"}


@overlays
def test_keys_are_mounted_by_who_signs_alone(name: str) -> None:
    """Workers have the shops' keys; whoever publishes or collects has URLs alone, of users of its own."""
    pods = {
        labels["app.kubernetes.io/component"]: pod for _, pod, labels in workloads(overlay(name)) if is_ours(labels)
    }
    own = {
        component: {re.sub(r"-[0-9a-z]{10}$", "", each) for each in secrets_of(pod)} for component, pod in pods.items()
    }
    assert own.pop("worker") == {"referral-worker", "referral-shop-keys"}
    assert own == {"publish": {"referral-publish", "referral-export"}, "collect": {"referral-collect"}} | (
        {"sandbox": set()} if name == "dev" else {}
    )


def test_urls_of_dev_lead_to_its_services() -> None:
    """Broker, store and sandbox are called by services of the overlay, which policies let the caller reach."""
    objects = render("overlays/dev")
    services = {each["metadata"]["name"]: each["spec"]["ports"][0]["port"] for each in of_kind(objects, "Service")}
    urls = [
        base64.b64decode(value).decode()
        for secret in of_kind(objects, "Secret")
        for key, value in secret["data"].items()
        if key.endswith("_URL")
    ]
    shops = tomllib.loads(named(objects, "ConfigMap", "referral-shops")["data"]["shops.toml"])
    for url in [*urls, shops["defaults"]["base_url"]]:
        host, port = re.fullmatch(r"\w+://(?:[^@]*@)?([^:/]+):(\d+).*", url).groups()  # type: ignore[union-attr] # fails
        assert services[host] == int(port)


def test_shops_of_dev_have_the_sandbox_s_key() -> None:
    """The sandbox knows the key that the dev overlay gives its shop."""
    objects = render("overlays/dev")
    shops = tomllib.loads(named(objects, "ConfigMap", "referral-shops")["data"]["shops.toml"])["shops"]
    secrets = named(objects, "Secret", "referral-shop-keys")["data"]
    for shop in shops.values():
        assert shop["key_id"] == SANDBOX_KEY_ID
        assert base64.b64decode(secrets[shop["secret_file"]]).decode() == SANDBOX_SECRET


@overlays
def test_shops_files_are_good(name: str) -> None:
    """The shops file has known keys, the Job publishes to one of its shops, and its keys are where it looks."""
    objects = overlay(name)
    document = tomllib.loads(named(objects, "ConfigMap", "referral-shops")["data"]["shops.toml"])
    made = keys(objects, "secret", "referral-shop-keys") or made_by_hand()["referral-shop-keys"]
    for shop in document["shops"].values():
        ShopTable.model_validate(document.get("defaults", {}) | shop)
        assert shop["secret_file"] in made
    (job,) = of_kind(objects, "Job")
    arguments = job["spec"]["template"]["spec"]["containers"][0]["args"]
    assert any(f"--shop={slug}" in arguments for slug in document["shops"])
    assert "--yes" in arguments, "nobody is there to be asked"


def test_a_changed_shops_file_rolls_no_pod_and_a_changed_setting_does() -> None:
    """Names of what a worker follows by itself stay; names of what it reads at its start carry a hash."""
    names = {each["metadata"]["name"] for each in of_kind(render("overlays/dev"), "ConfigMap", "Secret")}
    assert {"referral-shops", "referral-shop-keys", "referral-publish"} <= names
    assert all(
        any(re.fullmatch(rf"{stem}-[0-9a-z]{{10}}", name) for name in names)
        for stem in ("referral-settings", "referral-worker", "referral-collect")
    )


@overlays
def test_workers_end_and_are_replaced_in_good_order(name: str) -> None:
    """The grace exceeds the longest drain; a new worker is ready before an old one ends; two spread and one may go."""
    objects = overlay(name)
    worker = named(objects, "Deployment", "referral-worker")
    pod = worker["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] > SHUTDOWN_MS / 1000 + DRAIN / SECOND
    rolling = worker["spec"]["strategy"]["rollingUpdate"]
    assert (rolling["maxSurge"], rolling["maxUnavailable"]) == (1, 0)
    (container,) = pod["containers"]
    assert [container[kind]["httpGet"]["path"] for kind in ("startupProbe", "livenessProbe", "readinessProbe")] == [
        "/livez",
        "/livez",
        "/readyz",
    ]
    budget = named(objects, "PodDisruptionBudget", "referral-worker")["spec"]
    assert budget["maxUnavailable"] == 1
    assert matches(budget["selector"], worker["spec"]["template"]["metadata"]["labels"])


@overlays
def test_a_worker_s_tmp_outlives_a_restart(name: str) -> None:
    """What a worker remembers of deaths in /tmp lies in a volume, which is the pod's and not the container's."""
    pod = named(overlay(name), "Deployment", "referral-worker")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    (volume,) = [mount["name"] for mount in container["volumeMounts"] if mount["mountPath"] == "/tmp"]
    assert [each for each in pod["volumes"] if each["name"] == volume and "emptyDir" in each]
    assert "TMPDIR" not in {each["name"] for each in container["env"]}


@overlays
def test_commands_exist(name: str) -> None:
    """Arguments of our image are commands and options that `referrals` has."""
    commands: Any = typer.main.get_command(app)
    for workload, container in containers(overlay(name)):
        if "referral-dispatch" not in container["image"]:
            continue
        command, *rest = container["args"]
        options = {option for parameter in commands.get_command(None, command).params for option in parameter.opts}
        given = {argument.split("=")[0] for argument in rest if argument.startswith("--")}
        assert given <= options, workload


def test_the_autoscaler_owns_the_number_of_workers() -> None:
    """With the component an apply does not set replicas back, and the scaler's rules are recorded under those names."""
    objects = render("overlays/production")
    assert "replicas" not in named(objects, "Deployment", "referral-worker")["spec"]
    scaled = named(objects, "ScaledObject", "referral-worker")["spec"]
    assert scaled["scaleTargetRef"]["name"] == "referral-worker"
    assert 1 <= scaled["minReplicaCount"] <= scaled["maxReplicaCount"]
    (trigger,) = scaled["triggers"]
    assert all(isinstance(value, str) for value in trigger["metadata"].values()), "KEDA takes strings only"
    assert 0 < float(trigger["metadata"]["threshold"]) <= 1
    groups = named(objects, "PrometheusRule", "referral-dispatch")["spec"]["groups"]
    recorded = {rule["record"] for group in groups for rule in group["rules"] if "record" in rule}
    assert set(re.findall(r"referral:\w+:\w+", trigger["metadata"]["query"])) <= recorded


def test_derived_manifests_are_current() -> None:
    """The PrometheusRule is the rules file, and each dashboard has its ConfigMap."""
    for path, text in manifests().items():
        assert path.read_text(encoding="utf-8") == text, f"run scripts/docs for {path.relative_to(ROOT)}"
    maps = [
        each
        for each in of_kind(render("overlays/production"), "ConfigMap")
        if "grafana_dashboard" in each["metadata"].get("labels", {})
    ]
    assert sorted(key for each in maps for key in each["data"]) == sorted(p.name for p in DASHBOARDS.glob("*.json"))
    # `kubectl apply` keeps a copy in an annotation, which holds 256 KiB.
    assert all(len(json.dumps(each)) < 250_000 for each in maps)


def test_broker_users_of_dev_have_the_documented_permissions() -> None:
    """The definitions that dev and compose.yaml load say what docs/rabbitmq.md says."""
    table = (ROOT / "docs" / "rabbitmq.md").read_text(encoding="utf-8")
    definitions = json.loads((ROOT / "k8s" / "overlays" / "dev" / "rabbitmq" / "definitions.json").read_text())
    users = {user["name"] for user in definitions["users"]}
    for permission in definitions["permissions"]:
        role = permission["user"].removeprefix("referral-")
        (row,) = [line for line in table.splitlines() if line.startswith(f"| {role} |")]
        assert [f"`{permission[each]}`" for each in ("configure", "write", "read")] == [
            cell.strip() for cell in row.split("|")[3:6]
        ]
        assert permission["user"] in users
