# Muster in a container: one binary, which is every service and every tool.
# Two stages: what compiles stays behind.
FROM golang:1.26.8-bookworm AS build
WORKDIR /muster
# The modules first: they change seldom, so this layer is seldom made again.
COPY go.work go.work.sum ./
COPY credentials/go.mod credentials/go.sum credentials/
COPY eventstore/go.mod eventstore/go.sum eventstore/
COPY gateway/go.mod gateway/go.sum gateway/
COPY identity/go.mod identity/go.sum identity/
COPY media/go.mod media/go.sum media/
COPY muster/go.mod muster/go.sum muster/
COPY platform/go.mod platform/go.sum platform/
COPY proto/go.mod proto/go.sum proto/
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o /out/muster ./muster \
    && cd /out && mkdir -p state deployment/authority deployment/identity deployment/credentials deployment/media \
        deployment/gateway deployment/operator deployment/postgres deployment/rabbitmq deployment/minio

# Nothing but the program and the authorities whose word TLS takes.
FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/muster /muster
# A named volume takes its first owner from the folder that it covers.
COPY --from=build --chown=65532:65532 /out/state /etc/muster
COPY --from=build --chown=65532:65532 /out/state /var/lib/muster
COPY --from=build --chown=65532:65532 /out/deployment /deployment
USER 65532:65532
ENTRYPOINT ["/muster"]
