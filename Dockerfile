# SPDX-License-Identifier: Apache-2.0
#
# Three images from one build: `docket` (everything; SQL needs the C++ runtime, so
# its base has glibc), `docket-gateway` (the request path, a static binary), and
# `docket-otel` (the OpenTelemetry collector as it is, with docket-gateway beside
# it to ask whether it is healthy: there is nothing else in that image).
#
#   docker build --target docket -t docket --build-arg VERSION=$(git describe --tags --always) .

FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY . .
ARG VERSION=unknown
RUN make build VERSION=${VERSION}
RUN mkdir /data /demo /keys

FROM gcr.io/distroless/cc-debian12:nonroot AS docket
COPY --from=build /src/bin/docket /usr/local/bin/docket
COPY --from=build --chown=nonroot:nonroot /data /data
COPY --from=build --chown=nonroot:nonroot /demo /demo
COPY --from=build --chown=nonroot:nonroot /keys /keys
VOLUME /data
ENTRYPOINT ["/usr/local/bin/docket"]

FROM gcr.io/distroless/static-debian12:nonroot AS docket-gateway
COPY --from=build /src/bin/docket-gateway /usr/local/bin/docket-gateway
COPY --from=build --chown=nonroot:nonroot /data /data
COPY --from=build --chown=nonroot:nonroot /demo /demo
VOLUME /data
ENTRYPOINT ["/usr/local/bin/docket-gateway"]

FROM otel/opentelemetry-collector-contrib:0.139.0 AS docket-otel
COPY --from=build /src/bin/docket-gateway /usr/local/bin/docket-gateway
