# The service in a container: no shell script, no root, nothing written to disk.
FROM python:3.13-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY mxcheck_service mxcheck_service
RUN python -m venv /opt/mxcheck && /opt/mxcheck/bin/pip install --no-cache-dir .

FROM python:3.13-slim-bookworm
COPY --from=build /opt/mxcheck /opt/mxcheck
USER 65532:65532
ENV PATH=/opt/mxcheck/bin:$PATH PYTHONUNBUFFERED=1
EXPOSE 11340
ENTRYPOINT ["mxcheck"]
CMD ["serve", "--host", "0.0.0.0"]
