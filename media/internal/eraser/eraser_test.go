package eraser_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/projection"
	"github.com/muster-id/muster/media/internal/eraser"
	eventsv1 "github.com/muster-id/muster/proto/gen/go/muster/media/events/v1"
)

// keyring fails with err, or remembers what it was told to destroy.
type keyring struct {
	err       error
	destroyed []string
}

func (k *keyring) Destroy(_ context.Context, ids []string) error {
	if k.err == nil {
		k.destroyed = append(k.destroyed, ids...)
	}
	return k.err
}

func ending(message proto.Message) eventstore.Opened {
	return eventstore.Opened{Event: eventstore.Event{ID: uuid.New()}, Message: message}
}

func TestKeysAreDestroyedByReactAlone(t *testing.T) {
	t.Parallel()
	ring, ids := &keyring{}, []string{uuid.NewString(), uuid.NewString(), uuid.NewString()}
	events := []eventstore.Opened{
		ending(&eventsv1.FileDeleted{KeyIds: ids[:2]}), ending(&eventsv1.FileShared{}), ending(&eventsv1.OwnerErased{KeyIds: ids[2:]}),
	}
	e := eraser.New(ring)
	if err := e.Apply(t.Context(), nil, 2, events); err != nil || len(ring.destroyed) > 0 || e.Tables() != nil {
		t.Errorf("Apply: %v, and %v are destroyed; tables %v", err, ring.destroyed, e.Tables())
	}
	if err := e.React(t.Context(), nil, events); err != nil || !slices.Equal(ring.destroyed, ids) {
		t.Errorf("React: %v, and %v are destroyed, want %v", err, ring.destroyed, ids)
	}
}

// What will pass is waited for; what will not must not keep others waiting.
func TestOnlyWhatWillPassIsWaitedFor(t *testing.T) {
	t.Parallel()
	whole := ending(&eventsv1.FileDeleted{KeyIds: []string{uuid.NewString()}})
	for name, c := range map[string]struct {
		event eventstore.Opened
		err   error
		away  bool
	}{
		"keyring is down":          {whole, connect.NewError(connect.CodeUnavailable, errors.New("down")), true},
		"keyring is late":          {whole, connect.NewError(connect.CodeDeadlineExceeded, errors.New("late")), true},
		"keyring has failed":       {whole, connect.NewError(connect.CodeInternal, errors.New("failed")), true},
		"connection was lost":      {whole, errors.New("lost"), true},
		"key of another service":   {whole, connect.NewError(connect.CodePermissionDenied, errors.New("not yours")), false},
		"call is not one":          {whole, connect.NewError(connect.CodeInvalidArgument, errors.New("not a call")), false},
		"event names no key":       {ending(&eventsv1.FileDeleted{KeyIds: []string{"none"}}), nil, false},
		"person's event names one": {ending(&eventsv1.OwnerErased{KeyIds: []string{"none"}}), nil, false},
	} {
		err := eraser.New(&keyring{err: c.err}).React(t.Context(), nil, []eventstore.Opened{c.event})
		if err == nil || errors.Is(err, projection.ErrAway) != c.away {
			t.Errorf("%s: %v; away is to be %v", name, err, c.away)
		}
		// The projector takes an error of an RPC for one that passes.
		if rpc := (*connect.Error)(nil); !c.away && errors.As(err, &rpc) {
			t.Errorf("%s: %v is an error of an RPC", name, err)
		}
	}
}
