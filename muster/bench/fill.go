package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/seal"
	"github.com/muster-id/muster/platform/password"
	"github.com/muster-id/muster/platform/secret"
	eventsv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/events/v1"
	"github.com/muster-id/muster/proto/upcast"
)

const (
	// logName is that of identity's log, and userStream begins its streams' names.
	logName    = "identity"
	userStream = "user-"
	// copied is how many commands go into the log with one COPY.
	copied = 2000
	// fillSeed draws who does what when.
	fillSeed = 4
)

// everybodysPassword opens every account that the log is filled with. They have
// one verifier, since to hash for each would take hours; it is sealed for each
// anew, so no two events have the same bytes.
var everybodysPassword = secret.New("correct horse battery staple")

// filler fills identity's log with people. What it writes is what commands
// append, byte for byte: the same messages, sealed by the same codec under keys
// of the keyring, one for each person and one for each password, with who did it
// and from where. Only the way into the table differs: COPY, many commands a
// transaction, since to append a million events one command at a time takes
// half an hour. Names are not reserved: nobody asks here.
type filler struct {
	pool     *pgxpool.Pool
	keys     *keys
	codec    *seal.Codec
	verifier string
}

// identified is what is made for a person once: the id and the key.
type identified struct {
	id  uuid.UUID
	key string
}

func newFiller(ctx context.Context, pool *pgxpool.Pool, maker seal.Maker, costs password.Params) (*filler, error) {
	verifier, err := password.NewPool(costs, 1, 1).Hash(ctx, everybodysPassword)
	if err != nil {
		return nil, fmt.Errorf("hash everybody's password: %w", err)
	}
	k := newKeys(maker)
	return &filler{
		pool: pool, keys: k, codec: seal.NewCodec(k, k, protoregistry.GlobalTypes, upcast.Step), verifier: verifier.Reveal(),
	}, nil
}

// fill appends the events of people first to last. As many commands are sealed
// at once as there are cores; they go into the log in their order.
func (f *filler) fill(ctx context.Context, first, last int) error {
	workers := runtime.GOMAXPROCS(0)
	group, ctx := errgroup.WithContext(ctx)
	inOrder := make(chan chan []eventstore.Event, workers)
	group.Go(func() error {
		defer close(inOrder)
		return f.sealAll(ctx, group, first, last, inOrder)
	})
	group.Go(func() error {
		for sealed := range inOrder {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case events := <-sealed:
				if err := f.copy(ctx, events); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err := group.Wait(); err != nil {
		return fmt.Errorf("fill the log: %w", err)
	}
	return nil
}

// sealAll gives everything to sealers, piece by piece.
func (f *filler) sealAll(ctx context.Context, group *errgroup.Group, first, last int, inOrder chan<- chan []eventstore.Event) error {
	// A year of history, up to now.
	now := time.Now().UTC()
	events := (last - first + 1) * eventsEach
	step := 365 * 24 * time.Hour / time.Duration(events)
	at := now.Add(-time.Duration(events) * step)
	var drafts []eventstore.Draft
	hand := func() error {
		sealed := make(chan []eventstore.Event, 1)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case inOrder <- sealed:
		}
		piece := drafts
		drafts = nil
		group.Go(func() error {
			events, err := f.seal(ctx, piece)
			sealed <- events
			return err
		})
		return nil
	}
	pending := 0
	known := map[*person]identified{}
	for c := range commands(first, last, fillSeed) {
		if c.from == 1 {
			made, err := f.identify(ctx)
			if err != nil {
				return err
			}
			known[c.who] = made
		}
		who := known[c.who]
		if len(c.who.later) == 0 {
			delete(known, c.who)
		}
		at = at.Add(step * time.Duration(len(c.what)))
		drafted, err := f.draft(c, who, at)
		if err != nil {
			return err
		}
		drafts = append(drafts, drafted...)
		if pending++; pending%copied == 0 {
			if err := hand(); err != nil {
				return err
			}
		}
	}
	return hand()
}

// identify makes a person's id and key.
func (f *filler) identify(ctx context.Context) (identified, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return identified{}, fmt.Errorf("make an account's id: %w", err)
	}
	key, err := f.keys.person(ctx)
	return identified{id, key}, err
}

// draft makes a command's events, still open.
func (f *filler) draft(c command, who identified, at time.Time) ([]eventstore.Draft, error) {
	metadata := eventstore.Metadata{Actor: userStream + who.id.String(), RequestID: uuid.NewString(), TraceParent: traceParent()}
	drafts := make([]eventstore.Draft, len(c.what))
	for i, what := range c.what {
		id, err := uuid.NewV7()
		if err != nil {
			return nil, fmt.Errorf("make an event's id: %w", err)
		}
		drafts[i] = eventstore.Draft{
			Event: &eventstore.Event{
				ID: id, Log: logName, Stream: userStream + who.id.String(), Version: c.from + int64(i), OccurredAt: at, Metadata: metadata,
			},
			Message:    f.message(what, who.id.String(), c.who.number),
			SubjectKey: who.key,
			Origin:     &eventstore.Origin{Address: "2001:db8::1f:4a6c", UserAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"},
		}
	}
	return drafts, nil
}

func (f *filler) message(what happening, id string, number int) proto.Message {
	switch what {
	case passwordSet:
		return &eventsv1.PasswordSet{UserId: id, Verifier: f.verifier, Kind: eventsv1.PasswordKind_PASSWORD_KIND_CHOSEN}
	case profileUpdated:
		return &eventsv1.ProfileUpdated{UserId: id, FirstName: "Augusta Ada", LastName: fmt.Sprintf("Lovelace %d", number)}
	case rolesChanged:
		return &eventsv1.RolesChanged{UserId: id, Roles: []string{"auditor"}}
	case usernameChanged:
		return &eventsv1.UsernameChanged{UserId: id, Username: fmt.Sprintf("augusta.%d", number)}
	default:
		return &eventsv1.UserRegistered{
			UserId: id, Username: fmt.Sprintf("ada.%d", number), Email: emailOf(number), FirstName: "Ada", LastName: fmt.Sprintf("Lovelace %d", number),
		}
	}
}

// emailOf a person, who keeps it.
func emailOf(number int) string { return fmt.Sprintf("ada.lovelace.%d@example.org", number) }

// traceParent of a traced call.
func traceParent() string {
	var ids [24]byte
	for i := range ids {
		ids[i] = byte(rand.Uint32()) //nolint:gosec // nothing is guarded by it
	}
	return "00-" + hex.EncodeToString(ids[:16]) + "-" + hex.EncodeToString(ids[16:]) + "-01"
}

func (f *filler) seal(ctx context.Context, drafts []eventstore.Draft) ([]eventstore.Event, error) {
	if err := f.codec.Encode(ctx, drafts); err != nil {
		return nil, err
	}
	events := make([]eventstore.Event, len(drafts))
	for i, draft := range drafts {
		events[i] = *draft.Event
	}
	return events, nil
}

// columns of log.events that a writer gives; the log gives the others.
var columns = []string{
	"event_id", "stream_id", "stream_version", "shard", "type", "schema_version", "occurred_at",
	"payload", "sealed", "key_id", "metadata", "metadata_sealed", "metadata_key_id",
}

func (f *filler) copy(ctx context.Context, events []eventstore.Event) error {
	if len(events) == 0 {
		return nil
	}
	return copyEvents(ctx, f.pool, events)
}

// copyEvents writes events as they are, with COPY.
func copyEvents(ctx context.Context, pool *pgxpool.Pool, events []eventstore.Event) error {
	_, err := pool.CopyFrom(ctx, pgx.Identifier{"log", "events"}, columns, pgx.CopyFromSlice(len(events), func(i int) ([]any, error) {
		values, err := valuesOf(&events[i])
		return values.row(), err
	}))
	return err
}

// values are an event's as the table has them.
type values struct {
	*eventstore.Event
	id, key, metadataKey pgtype.UUID
	metadata             json.RawMessage
}

func valuesOf(event *eventstore.Event) (values, error) {
	v := values{Event: event, id: pgtype.UUID{Bytes: event.ID, Valid: true}}
	var faults [3]error
	v.metadata, faults[0] = json.Marshal(event.Metadata)
	v.key, faults[1] = optionalUUID(event.KeyID)
	v.metadataKey, faults[2] = optionalUUID(event.MetadataKeyID)
	return v, errors.Join(faults[:]...)
}

// row has them in the order of columns.
func (v values) row() []any {
	return []any{
		v.id, v.Stream, v.Version, eventstore.ShardOf(v.Stream), v.Type, v.SchemaVersion, v.OccurredAt,
		v.Payload, v.Sealed, v.key, v.metadata, v.MetadataSealed, v.metadataKey,
	}
}

// optionalUUID is NULL where there is none.
func optionalUUID(text string) (pgtype.UUID, error) {
	if text == "" {
		return pgtype.UUID{}, nil
	}
	id, err := uuid.Parse(text)
	return pgtype.UUID{Bytes: id, Valid: true}, err
}
