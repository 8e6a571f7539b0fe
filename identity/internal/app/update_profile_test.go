package app_test

import (
	"errors"
	"testing"

	"github.com/google/uuid"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/identity/internal/app"
)

func rename(userID string, first, last *string) app.UpdateProfile {
	return app.UpdateProfile{UserID: userID, FirstName: first, LastName: last, Request: app.Request{ID: "request-3"}}
}

func (b bench) update(t *testing.T, command app.UpdateProfile) app.Updated {
	t.Helper()
	updated, err := b.Commands.UpdateProfile.Handle(t.Context(), command)
	if err != nil {
		t.Fatal(err)
	}
	return updated
}

func TestUpdateChangesWhatIsGivenAndLeavesTheRest(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	registered := b.register(t, ada())
	updated := b.update(t, rename(registered.UserID, new("  Augusta "), nil))
	if updated.Profile.FirstName != "Augusta" || updated.Profile.LastName != "Lovelacecanary" || updated.Position.Version != 3 {
		t.Errorf("got %+v", updated)
	}
	updated = b.update(t, rename(registered.UserID, nil, new("")))
	if updated.Profile.FirstName != "Augusta" || updated.Profile.LastName != "" || updated.Position.Version != 4 {
		t.Errorf("got %+v", updated)
	}
}

func TestUpdateWithoutAChangeRecordsNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	registered := b.register(t, ada())
	for _, command := range []app.UpdateProfile{
		rename(registered.UserID, nil, nil),
		rename(registered.UserID, new("Adacanary"), new(" Lovelacecanary")),
	} {
		if updated := b.update(t, command); updated.Position != registered.Position {
			t.Errorf("position %+v, want %+v", updated.Position, registered.Position)
		}
	}
}

func TestRepeatedUpdateIsAnsweredAsTheFirst(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	registered := b.register(t, ada())
	command := rename(registered.UserID, new("Augusta"), nil)
	command.Request.IdempotencyKey = "0123456789abcdef"
	first := b.update(t, command)
	b.update(t, rename(registered.UserID, new("Byron"), nil))
	second := b.update(t, command)
	if second.Position != first.Position || second.Profile.FirstName != "Augusta" {
		t.Errorf("got %+v, want %+v", second, first)
	}
	if profile, err := b.Queries.GetProfile.Handle(t.Context(), app.GetProfile{UserID: registered.UserID}); err != nil || profile.FirstName != "Byron" {
		t.Errorf("the repeated command was executed: %v, %v", profile.FirstName, err)
	}
	command.FirstName = new("")
	_, err := b.Commands.UpdateProfile.Handle(t.Context(), command)
	expect(t, err, eventstore.ErrCommandReused)
}

func TestRefusedUpdates(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	registered := b.register(t, ada())
	for field, command := range map[string]app.UpdateProfile{
		"firstName": rename(registered.UserID, new("canary\n"), nil),
		"lastName":  rename(registered.UserID, nil, new("canary\u2800")),
	} {
		_, err := b.Commands.UpdateProfile.Handle(t.Context(), command)
		if invalid := (*app.InvalidFieldError)(nil); !errors.As(err, &invalid) || invalid.Field != field {
			t.Errorf("%s: got %v", field, err)
		}
	}
	_, err := b.Commands.UpdateProfile.Handle(t.Context(), rename(uuid.NewString(), new("Ada"), nil))
	expect(t, err, app.ErrUserNotFound)
}

func TestTwoUpdatesAtOnceBothTakePlace(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	registered := b.register(t, ada())
	done := false
	slow := b.with(func(c *app.Config) {
		c.Log = interrupted{Log: b.log, before: func() error {
			if !done {
				done = true
				b.update(t, rename(registered.UserID, nil, new("Byron")))
			}
			return nil
		}}
	})
	updated, err := slow.Commands.UpdateProfile.Handle(t.Context(), rename(registered.UserID, new("Augusta"), nil))
	if err != nil || updated.Profile.FirstName != "Augusta" || updated.Profile.LastName != "Byron" || updated.Position.Version != 4 {
		t.Errorf("got %+v, %v", updated, err)
	}
}
