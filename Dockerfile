# The helper container: the static `taskmesh`, Consul and Envoy, no shell, no root.
#
#   docker build -t taskmesh .
#   docker build -t taskmesh --build-arg CONSUL_IMAGE=hashicorp/consul:1.21 .
#
# Pair CONSUL_IMAGE (1.16 or later) and ENVOY_IMAGE as Consul's compatibility table does. This file is not built by the
# project's tests, which run without a container engine.
ARG RUST_IMAGE=rust:1.95.0-alpine
ARG CONSUL_IMAGE=hashicorp/consul:1.22
ARG ENVOY_IMAGE=envoyproxy/envoy:distroless-v1.35-latest

FROM ${RUST_IMAGE} AS build
# The image has the pinned toolchain; rustfmt and clippy, which rust-toolchain.toml asks for too, are not needed here.
ENV RUSTUP_TOOLCHAIN=1.95.0
RUN apk add --no-cache musl-dev
WORKDIR /src
COPY . .
# On Alpine the host target is musl, and the binary is static.
RUN cargo build --locked --release -p taskmesh \
 && mkdir -p /out/bin /out/consul/data \
 && cp target/release/taskmesh /out/bin/taskmesh

FROM ${CONSUL_IMAGE} AS consul

# Envoy's distroless image: glibc and CA certificates for Consul and Envoy, the user `nonroot` (65532), no shell.
FROM ${ENVOY_IMAGE}
COPY --from=consul /bin/consul /usr/local/bin/consul
COPY --from=build /out/bin/taskmesh /usr/local/bin/taskmesh
# An ECS volume that is mounted at a VOLUME's path is filled from the image, with its owner. So a volume at /taskmesh,
# mounted in the app's container too, carries the static binary there: `/taskmesh/taskmesh app -- CMD`.
COPY --from=build --chown=65532:65532 /out/bin /taskmesh
# /consul as well: there the entry points of apps look that were made for consul-ecs 0.4.3 (its bootstrapDir).
COPY --from=build --chown=65532:65532 /out/consul /consul
VOLUME ["/taskmesh", "/consul", "/consul/data"]
USER 65532:65532
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/taskmesh"]
CMD ["run"]
