"""The parts of k8s/ and monitoring/ that are derived: the rules as a PrometheusRule, the dashboards as ConfigMaps."""

import re
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]

RULES = ROOT / "monitoring" / "rules.yml"

DASHBOARDS = ROOT / "monitoring" / "dashboards"

_GENERATED = "# Made by scripts/docs from {source}: change it there.\n"

_RULE = """\
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: referral-dispatch
spec:
"""

_KUSTOMIZATION = """\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
generatorOptions:
  disableNameSuffixHash: true
  labels:
    grafana_dashboard: "1"
  annotations:
    grafana_folder: Referrals
configMapGenerator:"""


def manifests() -> dict[Path, str]:
    """File to text. The rules keep their text, comments included: a PrometheusRule's spec is a rules file."""
    files = {
        ROOT / "k8s" / "components" / "monitoring" / "prometheus-rule.yaml": _GENERATED.format(
            source=RULES.relative_to(ROOT)
        )
        + _RULE
        + textwrap.indent(RULES.read_text(encoding="utf-8"), "  "),
    }
    # One each: `kubectl apply` keeps a copy of an object in an annotation, which holds 256 KiB.
    dashboards = [
        f"\n  - name: referral-dashboard-{re.sub('[^a-z0-9]+', '-', path.stem.lower())}"
        f"\n    files: [dashboards/{path.name}]"
        for path in sorted(DASHBOARDS.glob("*.json"))
    ]
    files[ROOT / "monitoring" / "kustomization.yaml"] = (
        _GENERATED.format(source="dashboards/") + _KUSTOMIZATION + ("".join(dashboards) or " []") + "\n"
    )
    return files


def main() -> int:
    """Write the files, or compare them with ``--check``; the exit code."""
    stale = {
        path: text
        for path, text in manifests().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    }
    for path, text in stale.items():
        name = path.relative_to(ROOT)
        if "--check" in sys.argv[1:]:
            print(f"{name} is not what it is made from: run scripts/docs", file=sys.stderr)
        else:
            path.write_text(text, encoding="utf-8")
            print(name)
    return 1 if stale and "--check" in sys.argv[1:] else 0


if __name__ == "__main__":
    sys.exit(main())
