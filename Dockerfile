# caje as an image. Two targets:
#   node      caje alone, as a user of its own:          docker build --target node -t caje .
#   cluster   caje on a LiteFS mount (deploy/litefs.yml): docker build --target cluster -t caje-cluster .
# LiteFS mounts as root and starts caje as the same user of its own.

FROM node:24-bookworm-slim AS build
WORKDIR /src
COPY package.json package-lock.json ./
COPY packages packages
RUN npm ci
COPY tsconfig.json tsconfig.build.json ./
COPY bin bin
COPY src src
RUN npm run build && rm -rf src packages/*/src && npm prune --omit=dev

FROM node:24-bookworm-slim AS node
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates git \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --user-group --home-dir /data caje \
 && install -d -o caje -g caje /data
COPY --from=build /src /opt/caje
COPY deploy/cluster.yaml /etc/caje/cluster.yaml
RUN ln -s /opt/caje/bin/caje /usr/local/bin/caje
# By itself it serves the built-in default; CAJE_CONFIG names another configuration.
ENV CAJE_DATA=/data CAJE_LISTEN__PUBLIC=0.0.0.0:8080 NODE_ENV=production NODE_COMPILE_CACHE=/tmp/caje-compiled
USER caje
WORKDIR /data
VOLUME /data
EXPOSE 8080 8180
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:8080/_caje/healthz').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
CMD ["caje", "serve"]

FROM node AS cluster
USER root
RUN apt-get update && apt-get install -y --no-install-recommends fuse3 && rm -rf /var/lib/apt/lists/*
COPY --from=flyio/litefs:0.5 /usr/local/bin/litefs /usr/local/bin/litefs
COPY deploy/litefs.yml /etc/litefs.yml
ENV CAJE_CONFIG=/etc/caje/cluster.yaml CAJE_DATA=/data/caje CAJE_MANIFEST__PATH=/litefs/manifest.db CAJE_MANIFEST__REPLICATION=litefs
EXPOSE 20202
CMD ["litefs", "mount"]
