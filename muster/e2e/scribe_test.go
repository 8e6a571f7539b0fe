package e2e_test

import (
	"context"
	"encoding/json"
	"net/url"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/seal"
	"github.com/muster-id/muster/platform/certificate"
	"github.com/muster-id/muster/platform/serve"
	"github.com/muster-id/muster/proto/gen/go/muster/keyring/v1/keyringv1connect"
	"github.com/muster-id/muster/proto/upcast"
)

// scribe writes into identity's log past identity, as somebody with the owner's
// password could: what is sealed right by the running keyring, and what is not.
type scribe struct {
	log   *pgx.Conn
	codec *seal.Codec
}

// writes as the server's administrator, with media's certificate: the keyring
// makes keys for services that seal events of their own.
func (s *world) writes(t *testing.T) *scribe {
	t.Helper()
	media, err := certificate.Load(s.Certificates, "media")
	if err != nil {
		t.Fatal(err)
	}
	address := "https://" + s.Services["identity"]
	client := serve.InternalClient(media, "identity", address)
	t.Cleanup(client.CloseIdleConnections)
	keyring := keyringv1connect.NewKeyringServiceClient(client, address, serve.ClientInterceptors())
	return &scribe{
		log:   s.administers(t, "identity"),
		codec: seal.NewCodec(seal.RemoteKeys(keyring), seal.RemoteMaker(keyring), protoregistry.GlobalTypes, upcast.Step),
	}
}

// administers connects to a service's database as one who may do everything.
func (s *world) administers(t *testing.T, service string) *pgx.Conn {
	t.Helper()
	address, err := url.Parse(s.Servers.AdminURL.Reveal())
	if err != nil {
		t.Fatal("the server's address is not a URL")
	}
	address.Path = "/muster_" + service
	conn, err := pgx.Connect(t.Context(), address.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

// seals makes events of a person's stream, from this version on.
func (c *scribe) seals(t *testing.T, user string, from int64, messages ...proto.Message) []eventstore.Event {
	t.Helper()
	drafts := make([]eventstore.Draft, len(messages))
	for i, message := range messages {
		drafts[i] = draft(user, from+int64(i), message)
	}
	return c.sealsAll(t, drafts)
}

func draft(user string, version int64, message proto.Message) eventstore.Draft {
	return eventstore.Draft{
		Event: &eventstore.Event{
			ID: uuid.Must(uuid.NewV7()), Log: "identity", Stream: "user-" + user, Version: version, OccurredAt: time.Now().UTC(),
		},
		Message: message,
	}
}

// sealsAll seals them under one key, whoever they are about.
func (c *scribe) sealsAll(t *testing.T, drafts []eventstore.Draft) []eventstore.Event {
	t.Helper()
	if err := c.codec.Encode(t.Context(), drafts); err != nil {
		t.Fatal(err)
	}
	events := make([]eventstore.Event, len(drafts))
	for i, draft := range drafts {
		events[i] = *draft.Event
	}
	return events
}

// appends writes events as they are.
func (c *scribe) appends(t *testing.T, events []eventstore.Event) {
	t.Helper()
	columns := []string{
		"event_id", "stream_id", "stream_version", "shard", "type", "schema_version", "occurred_at", "payload", "sealed", "key_id", "metadata",
	}
	_, err := c.log.CopyFrom(t.Context(), pgx.Identifier{"log", "events"}, columns, pgx.CopyFromSlice(len(events), func(i int) ([]any, error) {
		event := &events[i]
		metadata, err := json.Marshal(event.Metadata)
		if err != nil {
			return nil, err
		}
		var key pgtype.UUID
		if event.KeyID != "" {
			id, err := uuid.Parse(event.KeyID)
			if err != nil {
				return nil, err
			}
			key = pgtype.UUID{Bytes: id, Valid: true}
		}
		return []any{
			pgtype.UUID{Bytes: event.ID, Valid: true}, event.Stream, event.Version, eventstore.ShardOf(event.Stream), event.Type, event.SchemaVersion,
			event.OccurredAt, event.Payload, event.Sealed, key, metadata,
		}, nil
	}))
	if err != nil {
		t.Fatal(err)
	}
}
