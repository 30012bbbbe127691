"""Where the values of metrics live."""

import subprocess
import sys
from pathlib import Path

import pytest

FULL = """
import os, resource, sys
from worker import health
from worker.errors import ConfigurationError
os.environ["PROMETHEUS_MULTIPROC_DIR"] = sys.argv[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
try:
    health.{prepare}()
except ConfigurationError as error:
    print(error)
"""


@pytest.mark.parametrize("prepare", ["prepare_shared_metrics", "shared_metrics_of_parent"])
def test_a_folder_without_room_is_refused(tmp_path: Path, prepare: str) -> None:
    """Values in memory that no disk is left for would end the process later, when it counts."""
    started = [sys.executable, "-c", FULL.format(prepare=prepare), str(tmp_path)]
    told = subprocess.run(started, check=True, stdout=subprocess.PIPE, text=True).stdout
    assert told.startswith(f"PROMETHEUS_MULTIPROC_DIR: {tmp_path}: ")
    assert told.endswith("; free 4 MiB there or name another folder\n")
    assert list(tmp_path.iterdir()) == []
