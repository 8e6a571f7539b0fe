package app_test

import (
	"context"
	"errors"
	"testing"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/projection"
	"github.com/muster-id/muster/identity/internal/app"
)

// follows answers who waits.
type follows struct{ err error }

func (f follows) Await(context.Context, eventstore.Position) error { return f.err }

func TestAwaitAsksWhoFollowsTheLog(t *testing.T) {
	t.Parallel()
	failure := errors.New("the database is away")
	for _, test := range []struct {
		what      string
		got, want error
	}{
		{"applied", nil, nil},
		{"not in time", projection.ErrNotApplied, app.ErrNotCaughtUp},
		{"too many wait", projection.ErrTooManyWaiters, app.ErrNotCaughtUp},
		{"a former epoch", eventstore.ErrEpochChanged, app.ErrPositionInvalid},
		{"a fault", failure, failure},
	} {
		await := app.New(app.Config{Projections: map[string]app.Projection{"media": follows{test.got}, "identity": follows{errors.New("the wrong one")}}}).Queries.Await
		if err := await.Handle(t.Context(), app.Await{Position: eventstore.Position{Log: "media"}}); !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
			t.Errorf("%s: got %v, want %v", test.what, err, test.want)
		}
		err := await.Handle(t.Context(), app.Await{Position: eventstore.Position{Log: "credentials"}})
		if invalid := (*app.InvalidFieldError)(nil); !errors.As(err, &invalid) || invalid.Field != "position.log" {
			t.Errorf("a log that nobody follows: got %v", err)
		}
	}
}
