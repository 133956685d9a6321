# The service in a container: no root, nothing written to disk; it runs with a read-only root filesystem.
#
#   docker build -t mxcheck-service .
#   docker run --rm --read-only --cap-drop ALL -p 127.0.0.1:11340:11340 mxcheck-service
#
# BASE is any image of Debian or the like with Python 3.11 or newer and its venv module.
ARG BASE=docker.io/library/python:3.13-slim-bookworm

FROM ${BASE} AS build
WORKDIR /src
# What installs and builds stays behind in an environment of its own: the service's has no pip.
COPY requirements.lock requirements-build.lock ./
RUN python3 -m venv /opt/build \
    && python3 -m venv --without-pip /opt/mxcheck \
    && /opt/build/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements-build.lock \
    && /opt/build/bin/pip --python /opt/mxcheck/bin/python3 install --no-cache-dir --no-compile \
        --require-hashes --only-binary :all: -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY mxcheck_service mxcheck_service
# Compiled here, since nothing can be written there; unchecked, since times of files may change on the way.
RUN /opt/build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /dist . \
    && /opt/build/bin/pip --python /opt/mxcheck/bin/python3 install --no-cache-dir --no-compile --no-deps /dist/*.whl \
    && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash -s /opt/mxcheck/ -p /opt/mxcheck/ /opt/mxcheck/lib

FROM ${BASE}
# Where Python's own images have pip: nothing is installed any more.
RUN rm -rf /usr/local/bin/pip* /usr/local/lib/python3*/site-packages/pip*
ARG BASE
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="mxcheck-service" \
      org.opencontainers.image.description="Does the sender's domain really receive mail? An rspamd-compatible check over HTTP" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE}"
COPY --from=build /opt/mxcheck /opt/mxcheck
# What is in the environment, by name, version, hash and licence (CycloneDX).
COPY sbom.cdx.json /opt/mxcheck/share/sbom.cdx.json
ENV PATH=/opt/mxcheck/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# A number, so that Kubernetes can tell that it is not root.
USER 65532:65532
EXPOSE 11340
STOPSIGNAL SIGTERM
# Not urllib: that would ask a proxy of the environment. Kubernetes has probes of its own, and ignores this.
HEALTHCHECK --interval=30s --timeout=3s --start-period=10s CMD ["python3", "-c", "\
import http.client, os, sys; \
service = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('MXCHECK_SERVER__PORT', 11340)), timeout=2); \
service.request('GET', '/healthz'); \
sys.exit(service.getresponse().status != 200)"]
ENTRYPOINT ["mxcheck"]
CMD ["serve", "--host", "0.0.0.0"]
