# The agent as an image; `make image` builds it. Needs nothing of BuildKit: other builders do, too.
#
#   PYTHON_IMAGE  what it stands on: any image with Python >= 3.11, pip and a shell, of glibc
#   VERSION       of shipper, for the label; `make image` takes it out of pyproject.toml
#   REVISION      of the source, for the label
ARG PYTHON_IMAGE=python:3.12-slim

# Here the wheel is built, and what it needs is fetched: only what has the hash that the lock says,
# and only wheels, so there is no compiler in this stage either.
FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY requirements.lock ./
RUN python3 -m pip download --quiet --require-hashes --only-binary :all: --dest wheels \
      -r requirements.lock \
 && python3 -m venv --without-pip tools \
 && python3 -m pip --python tools/bin/python install --quiet --no-index --find-links wheels hatchling
COPY pyproject.toml README.md LICENSE ./
COPY shipper ./shipper
RUN python3 -m pip --python tools/bin/python wheel --quiet --no-index --no-build-isolation --no-deps \
      --wheel-dir wheels .
# Into an environment of its own, which has neither pip nor what built the wheel. Tests, stubs and
# the sources of extensions are nobody's.
RUN python3 -m venv --without-pip /opt/shipper \
 && python3 -m pip --python /opt/shipper/bin/python install --quiet --no-compile \
      --no-index --find-links wheels shipper \
 && cd /opt/shipper/lib/python3*/site-packages \
 && find . -type d \( -name tests -o -name test \) -prune -exec rm -r {} + \
 && find . -type f \( -name '*.pyi' -o -name '*.py[xd]' -o -name '*.pxd' -o -name '*.[ch]' \) -exec rm {} +

FROM ${PYTHON_IMAGE}
COPY --from=build /opt/shipper /opt/shipper
COPY config/shipper.yaml /etc/shipper/shipper.yaml
# A volume that is mounted here takes over the mode: what is in it are logs.
RUN mkdir -m 0700 -p /var/lib/shipper
# The root file system may be read-only, and Python's images have no compiled library: without this each start
# and each health check would compile all that it loads. What is loaded is compiled here, and nothing else.
ENV PATH=/opt/shipper/bin:$PATH
RUN python -c 'import importlib, pkgutil, encodings.idna, kubernetes_asyncio.config, shipper; \
      [importlib.import_module(m.name) for m in pkgutil.walk_packages(shipper.__path__, "shipper.")]'
ENV PYTHONDONTWRITEBYTECODE=1
# Containers' logs are root's, 0640, in directories of 0750. The one capability that it can use is DAC_READ_SEARCH:
# it reads files of other owners, too.
USER 0:0
ENTRYPOINT ["shipper"]
CMD ["run", "--config", "/etc/shipper/shipper.yaml"]
# For plain Docker; Kubernetes does not know it, and has probes of its own. Each costs the start of a Python.
HEALTHCHECK --interval=60s --timeout=20s --start-period=60s --retries=3 \
  CMD ["shipper", "health", "--config", "/etc/shipper/shipper.yaml"]
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="shipper" \
      org.opencontainers.image.description="A node-level log agent: container log files into Elasticsearch, nothing lost, nothing twice." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
