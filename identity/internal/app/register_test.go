package app_test

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/identity/internal/app"
	"github.com/muster-id/muster/identity/internal/user"
	"github.com/muster-id/muster/platform/password"
	"github.com/muster-id/muster/platform/secret"
	eventsv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/events/v1"
)

func TestRegisteringRecordsWhoAndThePassword(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	registered := b.register(t, ada())
	if want := (eventstore.Position{Log: "identity", Epoch: b.log.Epoch(), Stream: user.Stream(registered.UserID), Version: 2}); registered.Position != want {
		t.Errorf("position %+v, want %+v", registered.Position, want)
	}
	events := b.events(t, registered.UserID)
	if len(events) != 2 {
		t.Fatalf("%d events, want 2", len(events))
	}
	who, ok := events[0].Message.(*eventsv1.UserRegistered)
	if !ok || who.GetUserId() != registered.UserID || who.GetUsername() != "ada.canary" || who.GetEmail() != "ada@canary-mail.example" ||
		who.GetFirstName() != "Adacanary" || who.GetLastName() != "Lovelacecanary" || len(who.GetRoles()) != 0 {
		t.Errorf("first event %v", events[0].Message)
	}
	set, ok := events[1].Message.(*eventsv1.PasswordSet)
	if !ok || !strings.HasPrefix(set.GetVerifier(), "$argon2id$") || set.GetKind() != eventsv1.PasswordKind_PASSWORD_KIND_CHOSEN {
		t.Error("the second event is not the password's")
	}
	if !b.opensWith(t, registered.UserID, "canary-password-1") {
		t.Error("the password does not open the account")
	}
}

func TestEventsSayWhoDidItAndSealFromWhere(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	registered := b.register(t, ada())
	events := b.events(t, registered.UserID)
	for _, event := range events {
		if event.Metadata.Actor != user.Stream(registered.UserID) || event.Metadata.RequestID != "request-1" || event.Metadata.TraceParent != ada().Request.TraceParent {
			t.Errorf("metadata %+v", event.Metadata)
		}
		if len(event.MetadataSealed) == 0 || event.MetadataKeyID != events[0].KeyID {
			t.Error("the origin is not sealed under the person's key")
		}
	}
	if events[1].KeyID == events[0].KeyID {
		t.Error("the password is not sealed under a key of its own")
	}
	if bytes.Contains(events[0].Payload, []byte("canary")) || bytes.Contains(events[1].Payload, []byte("argon2id")) {
		t.Error("a sensitive field stands in a payload")
	}
}

func TestNamesAreTakenInEverySpelling(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.register(t, ada())
	for _, username := range []string{"ada.canary", "ADA.CANARY", " Ada.Canary ", "Ａda.canary"} {
		again := ada()
		again.Username, again.Email = username, "free@example.org"
		_, err := b.Commands.Register.Handle(t.Context(), again)
		expect(t, err, app.ErrUsernameTaken)
	}
	for _, email := range []string{"ada@canary-mail.example", "ADA@CANARY-MAIL.EXAMPLE", " ada@Canary-Mail.example"} {
		again := ada()
		again.Username, again.Email = "free", email
		_, err := b.Commands.Register.Handle(t.Context(), again)
		expect(t, err, app.ErrEmailTaken)
	}
	_, err := b.Commands.Register.Handle(t.Context(), ada())
	expect(t, err, app.ErrUsernameTaken) // of two that are taken the username is named
	if streams := b.count(t, `SELECT count(DISTINCT stream_id) FROM log.events`); streams != 1 {
		t.Errorf("%d accounts, want 1", streams)
	}
}

func TestTakenNameCostsNoHash(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.register(t, ada())
	before := b.passwords.Stats().Hashes
	_, err := b.Commands.Register.Handle(t.Context(), ada())
	expect(t, err, app.ErrUsernameTaken)
	if hashes := b.passwords.Stats().Hashes; hashes != before {
		t.Errorf("%d hashes were computed", hashes-before)
	}
}

func TestBadInputNamesTheFieldAndRecordsNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for field, spoil := range map[string]func(*app.Register){
		"username":  func(r *app.Register) { r.Username = "canary spaced" },
		"email":     func(r *app.Register) { r.Email = "canary-without-at" },
		"firstName": func(r *app.Register) { r.FirstName = "canary\u202e" },
		"lastName":  func(r *app.Register) { r.LastName = "canary\u00a0canary" },
		"password":  func(r *app.Register) { r.Password = secret.New("canary7") },
	} {
		bad := ada()
		spoil(&bad)
		_, err := b.Commands.Register.Handle(t.Context(), bad)
		invalid := (*app.InvalidFieldError)(nil)
		if !errors.As(err, &invalid) || invalid.Field != field || invalid.Problem == "" {
			t.Errorf("%s: got %v", field, err)
		}
		if err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: the error repeats the input: %v", field, err)
		}
	}
	if events := b.count(t, `SELECT count(*) FROM log.events`); events != 0 {
		t.Errorf("%d events were recorded", events)
	}
}

func TestRepeatedRegistrationIsAnsweredFromTheFirst(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	first := ada()
	first.Request.IdempotencyKey = "0123456789abcdef"
	registered := b.register(t, first)

	again := first
	again.Username = "ADA.canary" // another spelling of the same request
	if repeated := b.register(t, again); repeated != registered {
		t.Errorf("got %+v, want %+v", repeated, registered)
	}

	other := first
	other.LastName = "Byron"
	_, err := b.Commands.Register.Handle(t.Context(), other)
	expect(t, err, eventstore.ErrCommandReused)
	if streams := b.count(t, `SELECT count(DISTINCT stream_id) FROM log.events`); streams != 1 {
		t.Errorf("%d accounts, want 1", streams)
	}
}

// No fingerprint holds a password: without a look at it, somebody would be told
// that the account is open to a password that does not open it.
func TestRepeatedRegistrationWithAnotherPasswordIsAnotherCommand(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	first := ada()
	first.Request.IdempotencyKey = "0123456789abcdef"
	registered := b.register(t, first)
	_, err := b.Commands.ChangePassword.Handle(t.Context(), change(registered.UserID, "canary-password-1", "canary-password-2"))
	if err != nil {
		t.Fatal(err)
	}
	if repeated := b.register(t, first); repeated != registered { // its password was the first one
		t.Errorf("got %+v, want %+v", repeated, registered)
	}
	for _, password := range []string{"canary-password-2", "canary-password-3"} {
		other := first
		other.Password = secret.New(password)
		_, err := b.Commands.Register.Handle(t.Context(), other)
		expect(t, err, eventstore.ErrCommandReused)
	}
}

func TestOfTwoPasswordsRegisteredAtOnceTheSlowerIsRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	first := ada()
	first.Request.IdempotencyKey = "0123456789abcdef"
	overtaken := b.with(func(c *app.Config) {
		c.Log = interrupted{Log: b.log, before: func() error {
			_, err := b.Commands.Register.Handle(t.Context(), first)
			return err
		}}
	})
	other := first
	other.Password = secret.New("canary-password-2")
	_, err := overtaken.Commands.Register.Handle(t.Context(), other)
	expect(t, err, eventstore.ErrCommandReused) // found after the append
	_, err = b.Commands.Register.Handle(t.Context(), other)
	expect(t, err, eventstore.ErrCommandReused) // found before it
	if !b.opensWith(t, b.register(t, first).UserID, "canary-password-1") {
		t.Error("the refused registration has set its password")
	}
}

func TestSameRegistrationAtOnceOpensOneAccount(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	command := ada()
	command.Request.IdempotencyKey = "0123456789abcdef"
	got := make([]app.Registered, 6)
	var clients sync.WaitGroup
	for i := range got {
		clients.Go(func() {
			registered, err := b.Commands.Register.Handle(t.Context(), command)
			if err != nil {
				t.Error(err)
			}
			got[i] = registered
		})
	}
	clients.Wait()
	for _, registered := range got {
		if registered != got[0] || registered.UserID == "" {
			t.Errorf("got %+v and %+v", got[0], registered)
		}
	}
}

func TestOneNameAtOnceGoesToOne(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	errs := make([]error, 6)
	var clients sync.WaitGroup
	for i := range errs {
		clients.Go(func() { _, errs[i] = b.Commands.Register.Handle(t.Context(), ada()) })
	}
	clients.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else {
			expect(t, err, app.ErrUsernameTaken)
		}
	}
	if won != 1 {
		t.Errorf("%d have the name, want 1", won)
	}
}

func TestNameTakenBetweenTheLookAndTheAppendIsNamed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	late := b.with(func(c *app.Config) {
		c.Log = interrupted{Log: b.log, before: func() error {
			_, err := b.Commands.Register.Handle(t.Context(), ada())
			return err
		}}
	})
	sameEmail := ada()
	sameEmail.Username = "somebody"
	_, err := late.Commands.Register.Handle(t.Context(), sameEmail)
	expect(t, err, app.ErrEmailTaken)
}

func TestOverloadRecordsNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	busy := b.with(func(c *app.Config) { c.Passwords = overloaded{} })
	_, err := busy.Commands.Register.Handle(t.Context(), ada())
	if refused := (*password.OverloadedError)(nil); !errors.As(err, &refused) || refused.RetryAfter == 0 {
		t.Errorf("got %v", err)
	}
	if events := b.count(t, `SELECT count(*) FROM log.events`); events != 0 {
		t.Errorf("%d events were recorded", events)
	}
	b.register(t, ada()) // the names are free still
}
