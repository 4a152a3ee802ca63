# Two images. Without a target the helper container: the static `taskmesh`, Consul and Envoy, no shell, no root.
#
#   docker build -t taskmesh .
#   docker build -t taskmesh-controller --target controller .
#   docker buildx build --platform linux/amd64,linux/arm64 -t REGISTRY/taskmesh:0.1.0 --push .
#
# Each platform is built by its own compiler, emulated where the machine is another: so nothing is cross-compiled. Pair
# CONSUL_IMAGE (1.16 or later) and ENVOY_IMAGE as deploy/README.md lists them, and pin all three by digest:
# --build-arg CONSUL_IMAGE=hashicorp/consul:1.22@sha256:...
ARG RUST_IMAGE=rust:1.95.0-alpine
ARG CONSUL_IMAGE=hashicorp/consul:1.22
ARG ENVOY_IMAGE=envoyproxy/envoy:distroless-v1.35-latest

FROM ${RUST_IMAGE} AS build
# The image has the pinned toolchain; rustfmt and clippy, which rust-toolchain.toml asks for too, are not needed here.
ENV RUSTUP_TOOLCHAIN=1.95.0
# What it is linked with must be the base image's own version, which no pin of ours could know.
# hadolint ignore=DL3018
RUN apk add --no-cache musl-dev
WORKDIR /src
COPY . .
# On Alpine the host target is musl, and the binary is static. The caches outlive a change of the sources; platforms that
# are built at the same time take turns.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    cargo build --locked --release -p taskmesh \
 && mkdir -p /out/bin /out/consul/data \
 && cp target/release/taskmesh /out/bin/taskmesh

FROM ${CONSUL_IMAGE} AS consul

# Distroless: glibc and CA certificates for Consul and Envoy, /tmp, the user `nonroot` (65532), no shell.
FROM ${ENVOY_IMAGE} AS envoy

# The ACL controller, once per ECS cluster: `taskmesh` alone.
FROM scratch AS controller
COPY --from=envoy /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/bin/taskmesh /usr/local/bin/taskmesh
USER 65532:65532
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/taskmesh"]
CMD ["controller"]

FROM envoy AS taskmesh
COPY --from=consul /bin/consul /usr/local/bin/consul
COPY --from=build /out/bin/taskmesh /usr/local/bin/taskmesh
# An ECS volume that is mounted at a VOLUME's path is filled from the image, with its owner. So a volume at /taskmesh,
# mounted in the app's container too, carries the static binary there: `/taskmesh/taskmesh app -- CMD`.
COPY --from=build --chown=65532:65532 /out/bin /taskmesh
# /consul as well: there the entry points of apps look that were made for consul-ecs 0.4.3 (its bootstrapDir).
COPY --from=build --chown=65532:65532 /out/consul /consul
# A volume at /tmp, which a read-only root needs, would belong to root alone if it did not stand here.
VOLUME ["/taskmesh", "/consul", "/consul/data", "/tmp"]
USER 65532:65532
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/taskmesh"]
CMD ["run"]
