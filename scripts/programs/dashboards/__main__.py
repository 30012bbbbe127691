"""Write monitoring/dashboards/*.json, or compare it with ``--check``."""

import json
import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from scripts.programs.dashboards import overview, shop, workers

ROOT = Path(__file__).resolve().parents[3]

FOLDER = ROOT / "monitoring" / "dashboards"


def dashboards() -> dict[str, str]:
    """File name to JSON."""
    made = (overview.dashboard(), shop.dashboard(), workers.dashboard())
    return {f"{each.uid}.json": json.dumps(each, cls=JSONEncoder, indent=1, ensure_ascii=False) + "\n" for each in made}


def main() -> int:
    """The exit code: 1 where ``--check`` finds a file that is not what the code makes."""
    check = "--check" in sys.argv[1:]
    wanted = {FOLDER / name: text for name, text in dashboards().items()}
    stale = [path for path in {*FOLDER.glob("*.json"), *wanted} if wanted.get(path) != _text(path)]
    for path in sorted(stale):
        if check:
            print(f"{path.relative_to(ROOT)} is not what the code makes: run scripts/dashboards", file=sys.stderr)
        elif path in wanted:
            FOLDER.mkdir(exist_ok=True)
            path.write_text(wanted[path], encoding="utf-8")
            print(path.relative_to(ROOT))
        else:
            path.unlink()
    return 1 if stale and check else 0


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


if __name__ == "__main__":
    sys.exit(main())
