# The images of Choregos, for any engine:
#
#     docker build --target ambassador --tag ghcr.io/choregos/ambassador:0.1.0 .
#     docker build --target operator --tag ghcr.io/choregos/operator:0.1.0 .
#
# An image is one Python, the packages of uv.lock and the shared libraries that these load, on an empty root: no shell,
# no package manager, nothing that its user could write. images/root.py gathers it; each COPY into an image is a layer,
# and the first one is the same in both.

# Any Debian with Python 3.11 or later that has venv and ca-certificates.
ARG BASE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE} AS tools
# Behind a proxy that signs its own certificates: the path of a CA bundle, mounted or in the base.
ARG SSL_CERT_FILE
RUN python3 -m venv /tools && /tools/bin/pip install --no-cache-dir --disable-pip-version-check uv==0.13.8 hatchling==1.27.0
ENV PATH=/tools/bin:/usr/local/bin:/usr/bin:/bin UV_NO_CACHE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
WORKDIR /source

FROM tools AS python
COPY images/root.py images/
RUN python3 images/root.py python /root-of-image

FROM tools AS wheel
COPY pyproject.toml README.md LICENSE ./
COPY contract contract
COPY ambassador ambassador
COPY operator operator
COPY cli cli
RUN hatchling build --target wheel

# The ambassador never imports pydantic and YAML, which the distribution needs elsewhere; import-linter sees to that.
FROM tools AS ambassador-packages
ARG SSL_CERT_FILE
COPY pyproject.toml uv.lock ./
RUN python3 -m venv --without-pip /opt/choregos \
 && uv export --quiet --locked --no-dev --extra ambassador --no-emit-project --prune pydantic --prune pyyaml --output-file /requirements.txt \
 && uv pip install --quiet --python /opt/choregos --require-hashes --requirement /requirements.txt
COPY images/root.py images/
RUN python3 images/root.py packages /root-of-image /opt/choregos

FROM ambassador-packages AS ambassador-project
COPY --from=wheel /source/dist /wheel
RUN uv pip install --quiet --python /opt/choregos --no-deps --offline /wheel/*.whl \
 && python3 images/root.py project /root-of-project /opt/choregos choregos-ambassador

FROM tools AS operator-packages
ARG SSL_CERT_FILE
COPY pyproject.toml uv.lock ./
RUN python3 -m venv --without-pip /opt/choregos \
 && uv export --quiet --locked --no-dev --extra operator --no-emit-project --output-file /requirements.txt \
 && uv pip install --quiet --python /opt/choregos --require-hashes --requirement /requirements.txt
COPY images/root.py images/
RUN python3 images/root.py packages /root-of-image /opt/choregos

FROM operator-packages AS operator-project
COPY --from=wheel /source/dist /wheel
RUN uv pip install --quiet --python /opt/choregos --no-deps --offline /wheel/*.whl \
 && python3 images/root.py project /root-of-project /opt/choregos choregos-operator

FROM scratch AS ambassador
COPY --from=python /root-of-image /
# By COPY, because a build step may see another bundle mounted in its place.
COPY --from=tools /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=ambassador-packages /root-of-image /
COPY --from=ambassador-project /root-of-project /
ENV PATH=/opt/choregos/bin PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
USER 65532:65532
WORKDIR /
ENTRYPOINT ["/opt/choregos/bin/choregos-ambassador"]
EXPOSE 9480 9481
ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="choregos-ambassador" \
      org.opencontainers.image.description="Carries events between NATS JetStream and the service in its pod" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

FROM scratch AS operator
COPY --from=python /root-of-image /
COPY --from=tools /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=operator-packages /root-of-image /
COPY --from=operator-project /root-of-project /
ENV PATH=/opt/choregos/bin PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
USER 65532:65532
WORKDIR /
ENTRYPOINT ["/opt/choregos/bin/choregos-operator"]
EXPOSE 9443 9481
ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="choregos-operator" \
      org.opencontainers.image.description="Wires choreographies to NATS JetStream and gives pods their ambassadors" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
