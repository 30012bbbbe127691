# docker build -t referral-dispatch:0.1.0 --build-arg REVISION="$(git rev-parse HEAD)" .
# docker run --rm --env-file worker.env -v "$PWD/shops.toml:/var/lib/referrals/shops.toml:ro" \
#     referral-dispatch:0.1.0
# The base is yours to choose, by digest too: --build-arg PYTHON_IMAGE=registry.example.com/python@sha256:…
# It needs Python 3.11 or newer with pip, in the same place in both stages.
ARG PYTHON_IMAGE=python:3.12-slim

# checkov:skip=CKV_DOCKER_2:Kubernetes and compose ask /livez and /readyz of a worker; publish and collect serve no port
# checkov:skip=CKV_DOCKER_7:the tag is in the argument above
FROM ${PYTHON_IMAGE} AS build
ENV UV_LINK_MODE=copy \
    UV_PYTHON_DOWNLOADS=never \
    UV_PROJECT_ENVIRONMENT=/opt/referrals
WORKDIR /src
# Of the base's own distribution, which signs it, and in this stage alone.
# hadolint ignore=DL3008
RUN command -v strip || { apt-get update && apt-get install -y --no-install-recommends binutils; }
# The build tools come from the lock file too, each held to its hash; scripts/sbom writes the list. They go into a folder
# of their own, since pip may not replace packages of a distribution's Python.
COPY scripts/build-requirements.txt ./
RUN pip install --no-cache-dir --target /opt/tools --require-hashes -r build-requirements.txt
ENV PATH=/opt/tools/bin:$PATH
# The dependencies alone first: this layer is built anew only when the lock file changes. Wheels only, since a source
# distribution would bring build tools that nothing locks.
COPY pyproject.toml uv.lock ./
# Some wheels have megabytes of symbols for debuggers. Psycopg's parts were rewritten to find the libraries beside them, and
# strip is known to break such files.
RUN uv sync --frozen --no-dev --all-extras --no-install-project --no-build \
    && find "$UV_PROJECT_ENVIRONMENT" -name '*.so' -not -path '*psycopg*' -exec strip --strip-debug {} +
COPY README.md LICENSE ./
COPY worker worker
RUN uv build --wheel --build-constraints build-requirements.txt --require-hashes \
    && uv pip install --no-deps --python "$UV_PROJECT_ENVIRONMENT" dist/*.whl \
    && rm -f "$UV_PROJECT_ENVIRONMENT/.lock"
# Bytecode of the program and of what it imports, since nobody can write any on a read-only root; of the rest it would be
# as much again. The module that is left out reads its settings as it is imported. Bytecode holds the second of its source,
# cut off, while a layer may round it: whole ones stay as they are.
RUN find "$UV_PROJECT_ENVIRONMENT" -name '*.py' -exec touch --date=2020-01-01 {} + \
    && "$UV_PROJECT_ENVIRONMENT/bin/python" -I -m compileall -q "$UV_PROJECT_ENVIRONMENT"/lib/python*/site-packages/worker \
    && "$UV_PROJECT_ENVIRONMENT/bin/python" -I -c "import importlib, pkgutil, worker; \
    names = [module.name for module in pkgutil.walk_packages(worker.__path__, 'worker.')]; \
    [importlib.import_module(name) for name in names if name not in ('worker.__main__', 'worker.actors')]"

FROM ${PYTHON_IMAGE}
ARG REVISION=unknown
LABEL org.opencontainers.image.title="referral-dispatch" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.description="Sends referral campaigns through Bubblehouse's Refer2 under its limits" \
      org.opencontainers.image.licenses="MIT"
# Writable by the user: exports and results in the first folder, the metrics that several processes share in the second.
# By the group root too, which OpenShift gives to the number that it picks for a user.
RUN install -d -o 10001 -g 0 -m 0775 /var/lib/referrals /run/referrals/metrics
COPY --from=build /opt/referrals /opt/referrals
COPY LICENSE docs/third-party-notices.txt /usr/share/doc/referral-dispatch/
# The metrics on all addresses, IPv6 and IPv4: whoever reads them is outside of the container.
ENV PATH=/opt/referrals/bin:$PATH \
    HOME=/var/lib/referrals \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PROMETHEUS_MULTIPROC_DIR=/run/referrals/metrics \
    REFERRALS_METRICS_HOST=::
WORKDIR /var/lib/referrals
# A number, so that Kubernetes can tell that it is not root.
USER 10001:10001
EXPOSE 9191
# Exec form: SIGTERM reaches the worker itself, which drains.
ENTRYPOINT ["referrals"]
CMD ["work"]
