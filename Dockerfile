# One image for the provider, a target a service; one for the connector, which needs Python alone.
ARG PYTHON_IMAGE=python:3.12-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /venv
COPY requirements/provider.txt /tmp/provider.txt
RUN /venv/bin/pip install --quiet --require-hashes -r /tmp/provider.txt

FROM ${PYTHON_IMAGE} AS base
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PATH=/venv/bin:$PATH
WORKDIR /app
RUN useradd --system --uid 10001 --no-create-home odmr

FROM base AS connector
COPY shared/__init__.py shared/tls.py shared/
COPY shared/protocol shared/protocol
COPY connector connector
# The ledger of what was taken: keep this volume, or a repeat is not known after a new start.
ENV HOME=/var/lib/odmr-connector
RUN mkdir -p $HOME && chown 10001:10001 $HOME
VOLUME /var/lib/odmr-connector
USER 10001
ENTRYPOINT ["python", "-m", "connector"]

FROM base AS provider
COPY --from=build /venv /venv
COPY shared shared
COPY services services
COPY localserve localserve
COPY client client
COPY cli cli
# Named volumes take the owner of the folder that they are mounted over.
RUN mkdir -p /run/odmr/demo /run/demo && chown -R 10001:10001 /run/odmr /run/demo
USER 10001
ENTRYPOINT ["python", "-m"]
CMD ["cli", "--help"]

FROM provider AS inbound
CMD ["services.inbound"]

FROM provider AS odmr
CMD ["services.odmr"]

FROM provider AS auth
CMD ["services.auth"]

FROM provider AS outbound
CMD ["services.outbound"]

FROM provider AS api
CMD ["services.api"]
