"""Which tests should notice a change of a module, the likeliest first."""

from pathlib import Path

STORE = "tests/integration/store"
"""Where the store's Lua is tested, beside the memory store, which has none."""

COLLECTED = ("tests/unit", STORE, "tests/integration/rabbitmq")

SCRIPTS = {
    "admit": ["limits", "places", "sharing", "ledger", "keys", "pace", "faults", "suppression", "campaign_pace"],
    "answer": ["ledger", "keys"],
    "block": ["places", "limits", "keys"],
    "brake": ["brakes"],
    "campaign": ["campaign_orders", "brakes"],
    "closed": ["inspect"],
    "control": ["controls"],
    "controls": ["controls", "campaign_orders"],
    "fence": ["ledger", "model"],
    "finished": ["ledger", "keys"],
    "inspect": ["inspect", "pace"],
    "keys": ["keys", "limits"],
    "known": ["copies", "keys"],
    "lanes": ["controls"],
    "listed": ["suppression"],
    "lists": ["suppression"],
    "note": ["inspect", "keys"],
    "ordering": ["controls", "campaign_orders"],
    "orders": ["controls"],
    "records": ["ledger", "keys", "limits"],
    "release": ["limits", "ledger", "keys"],
    "retry": ["ledger", "keys"],
    "scopes": ["limits", "sharing", "keys", "pace", "places"],
    "settle": ["ledger", "keys", "tallies", "brakes"],
    "slow_down": ["pace"],
    "take_read": ["reads", "keys"],
    "tallied": ["tallies"],
    "tallies": ["tallies", "keys"],
    "suppress": ["suppression"],
    "suppressed": ["suppression"],
    "listing": ["suppression"],
    "tally": ["tallies", "keys"],
    "watch": ["controls"],
}
"""The topics of tests/integration/store for each script."""

_CONSUMER = [f"tests/unit/scheduling/test_{topic}.py" for topic in ("loop", "halted", "wall")]
_RABBITMQ = "tests/integration/rabbitmq"
_BROKER = [f"{_RABBITMQ}/test_{topic}.py" for topic in ("messages", "delays", "shops_come_and_go")]
_CAMPAIGNS = ["tests/unit/campaigns"]

MODULES = {
    "worker/refer2/responses.py": ["tests/unit/refer2/test_client.py", "tests/unit/refer2/test_verification.py"],
    "worker/scheduling/breaker.py": _CONSUMER,
    "worker/dispatch/": ["tests/unit/dispatch", *_CONSUMER],
    "worker/scheduling/gate.py": _CONSUMER,
    "worker/model/job.py": ["tests/unit/dispatch/test_verification.py", *_CAMPAIGNS],
    "worker/limits/token_bucket.py": [f"{STORE}/test_limits.py"],
    "worker/limits/adaptive.py": [f"{STORE}/test_pace.py"],
    "worker/store/memory/": [f"{STORE}/test_ledger.py", f"{STORE}/test_limits.py", STORE, *_CONSUMER],
    "worker/scheduling/loop.py": [*_CONSUMER, "tests/unit/test_released.py", *_BROKER],
    "worker/scheduling/admission.py": [*_CONSUMER, *_BROKER],
    "worker/scheduling/outcomes.py": [*_CONSUMER, *_BROKER],
    "worker/scheduling/breakers.py": _CONSUMER,
    "worker/rabbitmq/port.py": [*_CONSUMER, *_BROKER, f"{_RABBITMQ}/test_oversized.py"],
    "worker/rabbitmq/dead_letters.py": [f"{_RABBITMQ}/test_dead_letters.py", f"{_RABBITMQ}/test_forged_headers.py"],
    "worker/rabbitmq/properties.py": [f"{_RABBITMQ}/test_forged_headers.py", f"{_RABBITMQ}/test_dead_letters.py"],
    "worker/rabbitmq/topology.py": [f"{_RABBITMQ}/test_topology.py"],
    "worker/campaigns/": _CAMPAIGNS,
}
"""The tests about a module or a folder, beside the test of its name and those that import it."""


def chosen(path: str, root: Path) -> list[str]:
    """Files and folders of tests; of those that import the module only units, since everything imports everything."""
    name = Path(path).stem
    if path.endswith(".lua"):
        return [*(f"{STORE}/test_{topic}.py" for topic in SCRIPTS.get(name, ())), STORE]
    units = [str(test.relative_to(root)) for test in sorted((root / "tests/unit").rglob("test_*.py"))]
    mirrors = [test for test in units if Path(test).name == f"test_{name}.py"]
    dotted = path.removesuffix(".py").replace("/", ".")
    importers = [test for test in units if f"from {dotted} import" in (root / test).read_text()]
    more = next((tests for module, tests in MODULES.items() if path.startswith(module)), [])
    return [*mirrors, *more, *importers]
