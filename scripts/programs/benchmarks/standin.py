"""A stand-in for Refer2 that costs next to nothing: nginx, with one and the same answer to every call."""

import re
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme

from scripts.programs.benchmarks.process import BenchmarkError, Program
from scripts.programs.benchmarks.site import ROOT, Site
from scripts.programs.benchmarks.upstream import SENT
from tests.services.process import free_ports

_CONFIGURATION = """\
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/nginx;
    proxy_temp_path {folder}/nginx;
    fastcgi_temp_path {folder}/nginx;
    uwsgi_temp_path {folder}/nginx;
    scgi_temp_path {folder}/nginx;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    server {{
        listen 127.0.0.1:{port};
        {tls}
        default_type application/json;
        location / {{ return 200 '{answer}'; }}
    }}
    server {{
        listen 127.0.0.1:{status};
        location / {{ stub_status; }}
    }}
}}
"""


@dataclass(frozen=True)
class StandIn:
    """Where it listens. ``ca_file`` signed its certificate, if it speaks TLS."""

    url: str
    ca_file: Path | None
    _status_url: str

    def count(self) -> int:
        """Calls answered so far."""
        with urllib.request.urlopen(self._status_url, timeout=30) as answer:
            text = answer.read().decode()
        # All requests, of which each look at this page was one.
        found = re.search(r"^ *\d+ \d+ (\d+)", text, re.MULTILINE)
        assert found is not None
        self._looks.append(None)
        return int(found[1]) - len(self._looks)

    _looks: list[None]


@contextmanager
def stand_in(site: Site, *, tls: bool) -> Iterator[StandIn]:
    """nginx in the foreground, on free ports."""
    subprocess.run([ROOT / "scripts/programs/nginx"], check=True)
    folder = site.folder
    port, status = free_ports(2)
    settings, ca_file = "", None
    if tls:
        ca_file, certificate = folder / "ca.pem", folder / "server.pem"
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(ca_file))
        authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(certificate))
        settings = f"ssl_certificate {certificate}; ssl_certificate_key {certificate};"
    text = _CONFIGURATION.format(folder=folder, port=port, status=status, answer=SENT.decode(), tls=settings)
    if tls:
        text = text.replace(f"{port};", f"{port} ssl;", 1)
    (folder / "nginx.conf").write_text(text)
    command = ["nginx", "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf")]
    with Program(command, {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}, folder / "nginx.log"):
        scheme = "https://localhost" if tls else "http://127.0.0.1"
        found = StandIn(f"{scheme}:{port}", ca_file, f"http://127.0.0.1:{status}/", [])
        deadline = time.monotonic() + 10
        while True:
            try:
                found.count()
            except OSError as error:
                if time.monotonic() > deadline:
                    raise BenchmarkError(f"nginx: {(folder / 'nginx.log').read_text()}") from error
                time.sleep(0.05)
                continue
            break
        yield found
