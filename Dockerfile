# The service in a container: no root, no shell, nothing written to disk. Runs with a read-only root filesystem.
#
# BASE has a Python of 3.11 or newer with its venv module. The dependencies are those of requirements.lock and no others.
ARG BASE=docker.io/library/python:3.13-slim-bookworm

FROM ${BASE} AS build
WORKDIR /src
RUN python3 -m venv /opt/mxcheck
COPY requirements.lock ./
RUN /opt/mxcheck/bin/pip install --no-cache-dir --no-compile --require-hashes --only-binary :all: -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY mxcheck_service mxcheck_service
# What builds the wheel is locked as well, and stays behind with its environment.
COPY requirements-build.lock ./
RUN python3 -m venv /opt/build \
    && /opt/build/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements-build.lock \
    && /opt/build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /opt/mxcheck/bin/pip install --no-cache-dir --no-compile --no-deps --no-index /wheels/*.whl \
    && /opt/mxcheck/bin/python -m compileall -q -j 0 /opt/mxcheck/lib \
    && /opt/mxcheck/bin/pip uninstall -q -y pip setuptools

FROM ${BASE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="mxcheck-service" \
      org.opencontainers.image.description="Does the sender's domain really receive mail? An rspamd-compatible check over HTTP" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/mxcheck /opt/mxcheck
ENV PATH=/opt/mxcheck/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# A number, so that Kubernetes can tell that it is not root.
USER 65532:65532
EXPOSE 11340
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=3s --start-period=10s \
    CMD ["python3", "-c", "import urllib.request as web; web.urlopen('http://127.0.0.1:11340/healthz', timeout=2)"]
ENTRYPOINT ["mxcheck"]
CMD ["serve", "--host", "0.0.0.0"]
