"""The wiring of a worker, on a machine that has not all that it should."""

import subprocess
import sys
from pathlib import Path

NO_FILES = """
import resource, sys
from worker import settings
from worker.app import build_worker
loaded = settings.load()
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
print(build_worker(loaded).context.marks)
"""


def test_no_temporary_folder(tmp_path: Path) -> None:
    """A worker is built all the same; it notes nowhere what it reads, and says how to name a folder."""
    (tmp_path / "acme.key").write_text("s3cret of the shop\n")
    (tmp_path / "shops.toml").write_text('[shops.acme]\nkey_id = "k1"\nsecret_file = "acme.key"\n')
    started = [sys.executable, "-c", NO_FILES]
    root = str(Path(__file__).parents[2])
    ended = subprocess.run(started, env={"PYTHONPATH": root}, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.stdout.splitlines()[-1:] == ["None"], ended.stderr
    assert "no temporary folder can be written to; name one by TMPDIR" in ended.stdout + ended.stderr
