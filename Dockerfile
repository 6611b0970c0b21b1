# The newer of the two tested sets, with the runtime, in two images:
#     docker build --tag s2bnn .                     for the CPU
#     docker build --target cuda --tag s2bnn-cuda .  with NVIDIA's libraries
#     docker run --rm --volume "$PWD:/work" s2bnn fit photos/ --output-dir runs/photos
# The second one needs `docker run --gpus all` and the NVIDIA Container Toolkit on the host.
FROM python:3.12-slim-bookworm AS base
RUN apt-get update && apt-get install --yes --no-install-recommends make && \
  rm -rf /var/lib/apt/lists/*
WORKDIR /opt/s2bnn
COPY requirements-tf220.lock requirements.lock Makefile pyproject.toml setup.py README.md LICENSE ./
COPY .ci/find-python .ci/
COPY s2bnn_tf s2bnn_tf
COPY configs configs
COPY runtime runtime
RUN make runtime PYTHON=python3.12 && rm -rf /root/.cache runtime/build
ENV PATH=/opt/s2bnn/.venv/bin:$PATH
WORKDIR /work
ENTRYPOINT ["s2bnn"]
CMD ["--help"]

FROM base AS cuda
RUN pip install --no-cache-dir "tensorflow[and-cuda]==2.20.0" "numpy<2"

FROM base AS cpu
# The kernels for training are compiled for the processor that the container runs on.
RUN apt-get update && apt-get install --yes --no-install-recommends g++ && \
  rm -rf /var/lib/apt/lists/*
