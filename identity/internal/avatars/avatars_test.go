package avatars_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/postgres"
	"github.com/muster-id/muster/eventstore/seal"
	"github.com/muster-id/muster/identity/internal/avatars"
	"github.com/muster-id/muster/identity/internal/store"
	"github.com/muster-id/muster/identity/internal/user"
	"github.com/muster-id/muster/platform/database"
	"github.com/muster-id/muster/platform/teststack"
	identityeventsv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/events/v1"
	eventsv1 "github.com/muster-id/muster/proto/gen/go/muster/media/events/v1"
	"github.com/muster-id/muster/proto/upcast"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// album is read.avatars beside identity's log, generation 1 serving.
type album struct {
	pool *pgxpool.Pool
	rows *avatars.Rows
	log  *postgres.Log
}

func newAlbum(t *testing.T) *album {
	t.Helper()
	sets, err := store.Migrations()
	if err != nil {
		t.Fatal(err)
	}
	pool, err := database.Open(t.Context(), teststack.Database(t, sets...).Runtime, t.Name(), 4)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	log, err := postgres.Open(t.Context(), pool, "identity", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(t.Context(), `INSERT INTO read.projections (name, generation, epoch) VALUES ('avatars', 1, 1)`); err != nil {
		t.Fatal(err)
	}
	return &album{pool, avatars.NewRows(pool), log}
}

func (a *album) apply(t *testing.T, events ...eventstore.Opened) {
	t.Helper()
	err := pgx.BeginFunc(t.Context(), a.pool, func(tx pgx.Tx) error {
		return avatars.Projection{}.Apply(t.Context(), tx, 1, events)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (a *album) want(t *testing.T, userID uuid.UUID, want string) {
	t.Helper()
	got, err := a.rows.AvatarOf(t.Context(), userID.String())
	if err != nil || got != want {
		t.Errorf("the picture is %q, %v; want %q", got, err, want)
	}
}

// erase records that a person is erased.
func (a *album) erase(t *testing.T, userID uuid.UUID) {
	t.Helper()
	event := eventstore.Event{ID: uuid.New(), Log: "identity", Stream: user.Stream(userID.String()), OccurredAt: time.Now()}
	draft := eventstore.Draft{Event: &event, Message: &identityeventsv1.UserErased{UserId: userID.String()}}
	if err := seal.NewCodec(nil, nil, protoregistry.GlobalTypes, upcast.Step).Encode(t.Context(), []eventstore.Draft{draft}); err != nil {
		t.Fatal(err)
	}
	_, err := a.log.Append(t.Context(), eventstore.Append{Stream: event.Stream, Expected: eventstore.NoStream, Events: []eventstore.Event{event}})
	if err != nil {
		t.Fatal(err)
	}
}

func event(version int64, message proto.Message) eventstore.Opened {
	return eventstore.Opened{
		Event:   eventstore.Event{ID: uuid.New(), Version: version, Type: string(message.ProtoReflect().Descriptor().FullName())},
		Message: message,
	}
}

func set(version int64, userID, avatarID uuid.UUID) eventstore.Opened {
	return event(version, &eventsv1.AvatarSet{UserId: userID.String(), AvatarId: avatarID.String(), Size: 9})
}

func removed(version int64, userID, avatarID uuid.UUID) eventstore.Opened {
	return event(version, &eventsv1.AvatarRemoved{UserId: userID.String(), AvatarId: avatarID.String()})
}

func TestNewestPictureIsShown(t *testing.T) {
	t.Parallel()
	a, ada, bob := newAlbum(t), uuid.New(), uuid.New()
	first, second, third := uuid.New(), uuid.New(), uuid.New()
	a.want(t, ada, "")
	a.apply(t, set(1, ada, first))
	a.want(t, ada, first.String())
	a.want(t, bob, "")
	a.apply(t, set(2, ada, second), set(1, bob, first))
	a.want(t, ada, second.String())
	a.apply(t, removed(3, ada, second))
	a.want(t, ada, "")
	a.apply(t, set(4, ada, third))
	a.want(t, ada, third.String())
	a.apply(t, set(4, ada, first)) // which is applied already
	a.want(t, ada, third.String())
	// Within one batch the last one counts.
	a.apply(t, set(5, ada, first), removed(6, ada, first), removed(2, bob, first), set(3, bob, third))
	a.want(t, ada, "")
	a.want(t, bob, third.String())
}

func TestOtherEventsOfMediaAreLeftAlone(t *testing.T) {
	t.Parallel()
	handled := 0
	messages := eventsv1.File_muster_media_events_v1_media_proto.Messages()
	for i := range messages.Len() {
		if (avatars.Projection{}).Handles(string(messages.Get(i).FullName())) {
			handled++
		}
	}
	if handled != 2 {
		t.Errorf("%d types are handled, want AvatarSet and AvatarRemoved", handled)
	}
}

func TestAvatarOfNobodyFailsTheBatch(t *testing.T) {
	t.Parallel()
	a, ada := newAlbum(t), uuid.New()
	for _, bad := range []proto.Message{
		&eventsv1.AvatarSet{UserId: "nobody", AvatarId: ada.String()},
		&eventsv1.AvatarSet{UserId: ada.String(), AvatarId: "none"},
		&eventsv1.FileDeleted{},
	} {
		err := pgx.BeginFunc(t.Context(), a.pool, func(tx pgx.Tx) error {
			return avatars.Projection{}.Apply(t.Context(), tx, 1, []eventstore.Opened{set(1, ada, ada), event(2, bad)})
		})
		if err == nil {
			t.Errorf("%v was applied", bad)
		}
	}
	a.want(t, ada, "")
}

func TestErasedPersonHasNoPictureAndGetsNone(t *testing.T) {
	t.Parallel()
	a, ada, bob, picture := newAlbum(t), uuid.New(), uuid.New(), uuid.New()
	a.apply(t, set(1, ada, picture), set(1, bob, picture))
	a.erase(t, ada)
	if err := a.rows.Forget(t.Context(), []uuid.UUID{ada}); err != nil {
		t.Fatal(err)
	}
	a.want(t, ada, "")
	a.want(t, bob, picture.String())
	// The upload was under way.
	a.apply(t, set(2, ada, picture), set(2, bob, picture))
	a.want(t, ada, "")
	if err := a.rows.Forget(t.Context(), []uuid.UUID{ada}); err != nil {
		t.Errorf("to forget again: %v", err)
	}
}

// The batch has looked before the person was erased, and commits after Forget
// has begun: without the lock its row would stay for ever.
func TestForgetWaitsForTheBatchUnderWay(t *testing.T) {
	t.Parallel()
	a, ada, picture := newAlbum(t), uuid.New(), uuid.New()
	batch, err := a.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer batch.Rollback(context.WithoutCancel(t.Context())) //nolint:errcheck // committed below
	if err := (avatars.Projection{}).Apply(t.Context(), batch, 1, []eventstore.Opened{set(1, ada, picture)}); err != nil {
		t.Fatal(err)
	}
	a.erase(t, ada)
	forgotten := make(chan error, 1)
	go func() { forgotten <- a.rows.Forget(t.Context(), []uuid.UUID{ada}) }()
	a.awaitWaiting(t, forgotten)
	if err := batch.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-forgotten; err != nil {
		t.Fatal(err)
	}
	a.want(t, ada, "")
}

// awaitWaiting returns once somebody waits for a lock in this database.
func (a *album) awaitWaiting(t *testing.T, forgotten <-chan error) {
	t.Helper()
	for {
		select {
		case err := <-forgotten:
			t.Fatalf("it has not waited: %v", err)
		case <-time.After(5 * time.Millisecond):
		}
		var waiting bool
		err := a.pool.QueryRow(t.Context(), `
			SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
				AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`).Scan(&waiting)
		if err != nil {
			t.Fatal(err)
		}
		if waiting {
			return
		}
	}
}
