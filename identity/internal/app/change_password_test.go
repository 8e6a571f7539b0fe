package app_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/identity/internal/app"
	"github.com/muster-id/muster/identity/internal/user"
	"github.com/muster-id/muster/platform/password"
	"github.com/muster-id/muster/platform/secret"
	eventsv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/events/v1"
)

func change(userID, present, chosen string) app.ChangePassword {
	return app.ChangePassword{
		UserID:  userID,
		Present: secret.New(present),
		New:     secret.New(chosen),
		Request: app.Request{ID: "request-2", Origin: &eventstore.Origin{Address: "192.0.2.77"}},
	}
}

func TestChangedPasswordIsTheOnlyOneFromThenOn(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	registered := b.register(t, ada())
	position, err := b.Commands.ChangePassword.Handle(t.Context(), change(registered.UserID, "canary-password-1", "canary-password-2"))
	if err != nil {
		t.Fatal(err)
	}
	if want := (eventstore.Position{Log: "identity", Epoch: b.log.Epoch(), Stream: user.Stream(registered.UserID), Version: 3}); position != want {
		t.Errorf("position %+v, want %+v", position, want)
	}
	if b.opensWith(t, registered.UserID, "canary-password-1") || !b.opensWith(t, registered.UserID, "canary-password-2") {
		t.Error("the new password is not the one that opens the account")
	}
	events := b.events(t, registered.UserID)
	if set, ok := events[2].Message.(*eventsv1.PasswordSet); !ok || set.GetKind() != eventsv1.PasswordKind_PASSWORD_KIND_CHOSEN || set.GetUserId() != registered.UserID {
		t.Error("the last event does not set the password")
	}
	if events[2].KeyID == events[1].KeyID || events[2].KeyID == events[0].KeyID {
		t.Error("the new password is sealed under an old key")
	}
}

func TestRefusedPasswordChangesRecordNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	registered := b.register(t, ada())
	for name, refused := range map[string]struct {
		command app.ChangePassword
		want    error
	}{
		"wrong present":            {change(registered.UserID, "canary-password-9", "canary-password-2"), app.ErrWrongPassword},
		"wrong present, unchanged": {change(registered.UserID, "canary-password-9", "canary-password-9"), app.ErrWrongPassword},
		"unchanged":                {change(registered.UserID, "canary-password-1", "canary-password-1"), app.ErrPasswordUnchanged},
		"nobody's":                 {change(uuid.NewString(), "canary-password-1", "canary-password-2"), app.ErrUserNotFound},
	} {
		_, err := b.Commands.ChangePassword.Handle(t.Context(), refused.command)
		if !errors.Is(err, refused.want) {
			t.Errorf("%s: got %v, want %v", name, err, refused.want)
		}
	}
	_, err := b.Commands.ChangePassword.Handle(t.Context(), change(registered.UserID, "canary-password-1", "short"))
	if invalid := (*app.InvalidFieldError)(nil); !errors.As(err, &invalid) || invalid.Field != "newPassword" {
		t.Errorf("got %v, want newPassword named", err)
	}
	if len(b.events(t, registered.UserID)) != 2 {
		t.Error("something was recorded")
	}
}

func TestRepeatedPasswordChangeSucceedsThoughThePresentOneHasChanged(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	registered := b.register(t, ada())
	command := change(registered.UserID, "canary-password-1", "canary-password-2")
	command.Request.IdempotencyKey = "0123456789abcdef"
	first, err := b.Commands.ChangePassword.Handle(t.Context(), command)
	if err != nil {
		t.Fatal(err)
	}
	second, err := b.Commands.ChangePassword.Handle(t.Context(), command)
	if err != nil || second != first {
		t.Errorf("got %+v, %v, want %+v", second, err, first)
	}
	if len(b.events(t, registered.UserID)) != 3 {
		t.Error("the password was set twice")
	}
	// The same key of another person is another command.
	bob := ada()
	bob.Username, bob.Email = "bob", "bob@example.org"
	other := change(b.register(t, bob).UserID, "canary-password-1", "canary-password-2")
	other.Request.IdempotencyKey = command.Request.IdempotencyKey
	if position, err := b.Commands.ChangePassword.Handle(t.Context(), other); err != nil || position.Stream == first.Stream {
		t.Errorf("got %+v, %v", position, err)
	}
}

func TestRepeatedPasswordChangeToAnotherPasswordIsAnotherCommand(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	registered := b.register(t, ada())
	command := change(registered.UserID, "canary-password-1", "canary-password-2")
	command.Request.IdempotencyKey = "0123456789abcdef"
	first, err := b.Commands.ChangePassword.Handle(t.Context(), command)
	if err != nil {
		t.Fatal(err)
	}
	other := change(registered.UserID, "canary-password-2", "canary-password-3")
	if _, err := b.Commands.ChangePassword.Handle(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	other.Request.IdempotencyKey = command.Request.IdempotencyKey
	_, err = b.Commands.ChangePassword.Handle(t.Context(), other) // the present password, but not what that command set
	expect(t, err, eventstore.ErrCommandReused)
	if position, err := b.Commands.ChangePassword.Handle(t.Context(), command); err != nil || position != first {
		t.Errorf("got %+v, %v, want %+v", position, err, first)
	}
}

func TestPasswordChangeThatItsDoubleOvertookIsComparedWithIt(t *testing.T) {
	t.Parallel()
	for when, race := range map[string]func(app.Log, func() error) app.Log{
		"before it loads": func(log app.Log, double func() error) app.Log {
			return overtaken{Log: log, once: &sync.Once{}, by: double}
		},
		"before it appends": func(log app.Log, double func() error) app.Log { return interrupted{Log: log, before: double} },
	} {
		for chosen, want := range map[string]error{"canary-password-2": nil, "canary-password-3": eventstore.ErrCommandReused} {
			t.Run(when+" "+chosen, func(t *testing.T) {
				t.Parallel()
				b := newBench(t)
				registered := b.register(t, ada())
				command := func(chosen string) app.ChangePassword {
					c := change(registered.UserID, "canary-password-1", chosen)
					c.Request.IdempotencyKey = "0123456789abcdef"
					return c
				}
				slow := b.with(func(c *app.Config) {
					c.Log = race(b.log, func() error {
						_, err := b.Commands.ChangePassword.Handle(t.Context(), command("canary-password-2"))
						return err
					})
				})
				_, err := slow.Commands.ChangePassword.Handle(t.Context(), command(chosen))
				expect(t, err, want)
				if !b.opensWith(t, registered.UserID, "canary-password-2") {
					t.Error("the slower one has set its password")
				}
			})
		}
	}
}

func TestSamePasswordChangeAtOnceHappensOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	registered := b.register(t, ada())
	command := change(registered.UserID, "canary-password-1", "canary-password-2")
	command.Request.IdempotencyKey = "0123456789abcdef"
	var clients sync.WaitGroup
	for range 6 {
		clients.Go(func() {
			if _, err := b.Commands.ChangePassword.Handle(t.Context(), command); err != nil {
				t.Error(err)
			}
		})
	}
	clients.Wait()
	if len(b.events(t, registered.UserID)) != 3 {
		t.Error("the password was set more than once")
	}
}

func TestOfTwoDifferentPasswordChangesAtOnceOneIsRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	registered := b.register(t, ada())
	faster := func() error {
		_, err := b.Commands.ChangePassword.Handle(t.Context(), change(registered.UserID, "canary-password-1", "canary-password-2"))
		return err
	}
	slow := b.with(func(c *app.Config) {
		c.Log = interrupted{Log: b.log, before: faster}
	})
	_, err := slow.Commands.ChangePassword.Handle(t.Context(), change(registered.UserID, "canary-password-1", "canary-password-3"))
	expect(t, err, user.ErrPasswordChanged)
	if !b.opensWith(t, registered.UserID, "canary-password-2") {
		t.Error("the refused change has taken place")
	}
}

func TestPasswordChangePassesOverloadOn(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	registered := b.register(t, ada())
	busy := b.with(func(c *app.Config) { c.Passwords = overloaded{} })
	_, err := busy.Commands.ChangePassword.Handle(t.Context(), change(registered.UserID, "canary-password-1", "canary-password-2"))
	if refused := (*password.OverloadedError)(nil); !errors.As(err, &refused) {
		t.Errorf("got %v", err)
	}
}
