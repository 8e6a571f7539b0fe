package erasure_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/projection"
	"github.com/muster-id/muster/eventstore/seal"
	"github.com/muster-id/muster/media/internal/erasure"
	identityeventsv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/events/v1"
)

// house has one file of everybody's, and one that is shared with everybody. Its
// step of a name fails with err.
type house struct {
	fails string
	err   error
	steps []string
}

func (h *house) step(name string) error {
	h.steps = append(h.steps, name)
	if name == h.fails {
		return h.err
	}
	return nil
}

func (h *house) EraseOwner(context.Context, string) (eventstore.Position, error) {
	return eventstore.Position{}, h.step("end avatar")
}

func (h *house) EraseFile(context.Context, string, string) error { return h.step("end file") }

func (h *house) ForgetReader(context.Context, string, string) error { return h.step("forget reader") }

func (h *house) FilesOf(context.Context, pgx.Tx, uuid.UUID, uuid.UUID, int) ([]uuid.UUID, error) {
	return []uuid.UUID{uuid.New()}, h.step("look for files")
}

func (h *house) RefuseUploadsOf(context.Context, pgx.Tx, uuid.UUID) error {
	return h.step("refuse uploads")
}

func (h *house) SharedWith(context.Context, pgx.Tx, uuid.UUID) ([]uuid.UUID, error) {
	return []uuid.UUID{uuid.New()}, h.step("look for shares")
}

func (h *house) Await(context.Context, eventstore.Position) error { return h.step("await rows") }

func (h *house) react(ctx context.Context, userID string) error {
	return erasure.New(h, h, h).React(ctx, nil, erased(userID))
}

func erased(userID string) []eventstore.Opened {
	return []eventstore.Opened{{Event: eventstore.Event{ID: uuid.New()}, Message: &identityeventsv1.UserErased{UserId: userID}}}
}

func TestNothingIsDoneBesideReact(t *testing.T) {
	t.Parallel()
	h := &house{}
	e := erasure.New(h, h, h)
	if err := e.Apply(t.Context(), nil, 2, erased(uuid.NewString())); err != nil || len(h.steps) > 0 || e.Tables() != nil {
		t.Errorf("Apply: %v, steps %v, tables %v", err, h.steps, e.Tables())
	}
	if err := h.react(t.Context(), uuid.NewString()); err != nil || len(h.steps) != 7 {
		t.Errorf("React: %v, steps %v, want seven", err, h.steps)
	}
}

// What will pass is waited for; what will not must not keep others waiting.
func TestOnlyWhatWillPassIsWaitedFor(t *testing.T) {
	t.Parallel()
	lost := errors.New("connection lost")
	for _, step := range []string{
		"end avatar", "look for files", "end file", "await rows", "look for shares", "forget reader", "refuse uploads",
	} {
		h := &house{fails: step, err: lost}
		if err := h.react(t.Context(), uuid.NewString()); !errors.Is(err, projection.ErrAway) || !errors.Is(err, lost) {
			t.Errorf("%s: %v, want ErrAway and the cause", step, err)
		}
	}
	behind := &house{fails: "await rows", err: fmt.Errorf("await: %w", projection.ErrNotApplied)}
	if err := behind.react(t.Context(), uuid.NewString()); !errors.Is(err, projection.ErrAway) || !errors.Is(err, erasure.ErrBehind) {
		t.Errorf("rows are behind: %v, want ErrAway and ErrBehind", err)
	}
	for _, lasting := range []error{seal.ErrUnknownType, seal.ErrUnknownKey, seal.ErrTampered} {
		h := &house{fails: "end file", err: fmt.Errorf("load file: %w", lasting)}
		if err := h.react(t.Context(), uuid.NewString()); !errors.Is(err, lasting) || errors.Is(err, projection.ErrAway) {
			t.Errorf("%v, want no ErrAway", err)
		}
	}
	if err := (&house{}).react(t.Context(), "nobody"); err == nil || errors.Is(err, projection.ErrAway) {
		t.Errorf("an id that is none: %v, want no ErrAway", err)
	}
}
