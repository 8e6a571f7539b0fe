package app_test

import (
	"testing"

	"github.com/google/uuid"

	"github.com/muster-id/muster/identity/internal/app"
)

func TestProfileIsWhatTheLogSays(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	registered := b.register(t, ada())
	profile, err := b.Queries.GetProfile.Handle(t.Context(), app.GetProfile{UserID: registered.UserID})
	if err != nil {
		t.Fatal(err)
	}
	if profile.ID != registered.UserID || profile.Username != "ada.canary" || profile.Email != "ada@canary-mail.example" || !profile.Active || len(profile.Roles) != 0 {
		t.Errorf("got %+v", profile)
	}
	if profile.RegisteredAt.IsZero() || !profile.UpdatedAt.Equal(profile.RegisteredAt) {
		t.Errorf("registered at %v, updated at %v", profile.RegisteredAt, profile.UpdatedAt)
	}
	updated := b.update(t, rename(registered.UserID, new("Augusta"), nil))
	if !updated.Profile.UpdatedAt.After(profile.UpdatedAt) || !updated.Profile.RegisteredAt.Equal(profile.RegisteredAt) {
		t.Errorf("registered at %v, updated at %v", updated.Profile.RegisteredAt, updated.Profile.UpdatedAt)
	}
	_, err = b.Queries.GetProfile.Handle(t.Context(), app.GetProfile{UserID: uuid.NewString()})
	expect(t, err, app.ErrUserNotFound)
}
