# Spar's server and command line in a small image that runs as nobody special.
#
#   docker build -t spar .
#   docker run --rm -p 127.0.0.1:7430:7430 spar
#
# CUDA: give a LibTorch with CUDA that lies in the build context, and a base
# image with the matching run-time libraries:
#   docker build -t spar:cuda --build-arg TORCH_DIR=libtorch \
#     --build-arg RUNTIME_BASE=nvidia/cuda:12.6.3-base-debian12 .
ARG RUNTIME_BASE=debian:bookworm-slim

FROM debian:bookworm AS build
ARG TORCH_DIR=
WORKDIR /src
COPY tools/setup.sh tools/requirements.txt tools/
RUN apt-get update && apt-get install -y --no-install-recommends make && tools/setup.sh
COPY . .
RUN SPAR_TORCH_DIR=${TORCH_DIR:+/src/$TORCH_DIR} make build && \
    cmake --install build/release --prefix /opt/spar --strip

FROM ${RUNTIME_BASE}
COPY tools/setup.sh /tmp/spar/tools/setup.sh
RUN SPAR_SETUP=runtime /tmp/spar/tools/setup.sh && \
    rm -rf /tmp/spar /var/lib/apt/lists/* && \
    useradd --system --create-home --uid 10001 spar
COPY --from=build /opt/spar /opt/spar
ENV PATH=/opt/spar/bin:$PATH
USER spar
EXPOSE 7430
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s \
  CMD ["spar", "--server", "127.0.0.1:7430", "--timeout", "4", "models"]
ENTRYPOINT ["spard"]
CMD ["--listen", "0.0.0.0:7430", "--allow-remote", "--model", "demo=/opt/spar/share/spar/demo/model", \
     "--decomposition", "demo/main=/opt/spar/share/spar/demo/decomposition"]
