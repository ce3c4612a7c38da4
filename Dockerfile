# One image for agent, reader, webhook, controller and hook: Node, the bundle, and nothing else. Build it for each
# architecture on a machine of it, or under emulation:
#   docker build --tag registry.example.org/vsmmu:0.1.0 .
# CI names the base by its digest.
ARG NODE_IMAGE=docker.io/library/node:24.21.0-bookworm-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /src
COPY package.json package-lock.json ./
# No package's install script runs: esbuild and koffi come as ready binaries.
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY . .
RUN node scripts/image/rootfs.mjs /rootfs

FROM scratch
COPY --from=build /rootfs /
# A young generation of 1 MiB: 1 to 2 MiB less of each hook, whose pods nobody of ours gives an environment.
ENV PATH=/usr/bin NODE_ENV=production NODE_OPTIONS=--max-semi-space-size=1
# The pods of the agent say otherwise: the kubelet's folder belongs to root.
USER 65532:65532
ENTRYPOINT ["/usr/bin/node", "/app/vsmmu.js"]
CMD ["--help"]
LABEL org.opencontainers.image.title="vsmmu" \
      org.opencontainers.image.description="Tells virtual SMMUv3s what the physical ones can do." \
      org.opencontainers.image.licenses="Apache-2.0"
