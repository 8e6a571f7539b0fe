package app_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/muster-id/muster/identity/internal/app"
	"github.com/muster-id/muster/identity/internal/user"
	eventsv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/events/v1"
)

func firstAdmin(t *testing.T) app.FirstAdmin {
	return app.FirstAdmin{
		Username:     "admin",
		Email:        "admin@muster.internal",
		PasswordFile: filepath.Join(t.TempDir(), "secrets", "admin-password"),
	}
}

func (b bench) ensureAdmin(t *testing.T, command app.FirstAdmin) bool {
	t.Helper()
	made, err := b.Commands.FirstAdmin.Handle(t.Context(), command)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// admin is the id of the first administrator's account.
func (b bench) admin(t *testing.T) string {
	t.Helper()
	var stream string
	if err := b.pool.QueryRow(t.Context(), `SELECT stream_id FROM log.reservations WHERE kind = 'first_admin'`).Scan(&stream); err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(stream, user.StreamPrefix)
}

func written(t *testing.T, command app.FirstAdmin) string {
	t.Helper()
	text, err := os.ReadFile(command.PasswordFile)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(string(text), "\n")
}

func TestFirstAdminHasTheOneTimePasswordInTheFile(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	command := firstAdmin(t)
	if !b.ensureAdmin(t, command) {
		t.Fatal("no administrator was made")
	}
	password := written(t, command)
	if len(password) < 20 || strings.Trim(password, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") != "" {
		t.Errorf("a password of %d characters that is not easy to copy", len(password))
	}
	if !b.opensWith(t, b.admin(t), password) {
		t.Error("the password in the file does not open the account")
	}
	info, err := os.Stat(command.PasswordFile)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v, want 0600", info.Mode(), err)
	}
	files, err := os.ReadDir(filepath.Dir(command.PasswordFile))
	if err != nil || len(files) != 1 {
		t.Errorf("%d files, %v, want the password's alone", len(files), err)
	}
	events := b.events(t, b.admin(t))
	who, _ := events[0].Message.(*eventsv1.UserRegistered)
	set, _ := events[1].Message.(*eventsv1.PasswordSet)
	if who.GetUsername() != "admin" || who.GetEmail() != "admin@muster.internal" || len(who.GetRoles()) != 1 || who.GetRoles()[0] != "admin" || set.GetKind() != eventsv1.PasswordKind_PASSWORD_KIND_ONE_TIME {
		t.Errorf("got %v, a password of %v", who, set.GetKind())
	}
	if events[0].Metadata.Actor != "service-identity" {
		t.Errorf("actor %q", events[0].Metadata.Actor)
	}
}

func TestLaterStartsLeaveAdminAndFileAlone(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	command := firstAdmin(t)
	b.ensureAdmin(t, command)
	before := written(t, command)
	hashes := b.passwords.Stats().Hashes
	renamed := command
	renamed.Username, renamed.Email = "root", "root@muster.internal"
	for _, again := range []app.FirstAdmin{command, renamed} {
		if b.ensureAdmin(t, again) {
			t.Error("a second administrator was made")
		}
	}
	if written(t, command) != before {
		t.Error("the file was written again")
	}
	if b.passwords.Stats().Hashes != hashes {
		t.Error("a start without anything to do has hashed")
	}
	if err := os.Remove(command.PasswordFile); err != nil {
		t.Fatal(err)
	}
	if b.ensureAdmin(t, command) {
		t.Error("a second administrator was made")
	}
	if _, err := os.Stat(command.PasswordFile); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that was taken away is back: %v", err)
	}
	// As it is a day later, when no command is remembered any more.
	if commands := b.count(t, `SELECT count(*) FROM log.commands`); commands != 0 {
		t.Errorf("it depends on %d commands that expire", commands)
	}
}

func TestCrashBetweenFileAndAppendIsMadeGoodAtTheNextStart(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	command := firstAdmin(t)
	crash := errors.New("crash")
	crashing := b.with(func(c *app.Config) {
		c.Log = interrupted{Log: b.log, before: func() error { return crash }}
	})
	_, err := crashing.Commands.FirstAdmin.Handle(t.Context(), command)
	expect(t, err, crash)
	lost := written(t, command) // in the file first, or a crash after the append would lose it
	if !b.ensureAdmin(t, command) {
		t.Fatal("no administrator was made")
	}
	if written(t, command) == lost || !b.opensWith(t, b.admin(t), written(t, command)) {
		t.Error("the file does not have the password of the account")
	}
}

func TestOfStartsAtOnceTheWinnersPasswordIsInTheFile(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	command := firstAdmin(t)
	var made atomic.Int32
	var starts sync.WaitGroup
	for range 4 {
		starts.Go(func() {
			won, err := app.New(b.config).Commands.FirstAdmin.Handle(t.Context(), command)
			if err != nil {
				t.Error(err)
			}
			if won {
				made.Add(1)
			}
		})
	}
	starts.Wait()
	if made.Load() != 1 {
		t.Errorf("%d administrators were made, want 1", made.Load())
	}
	if !b.opensWith(t, b.admin(t), written(t, command)) {
		t.Error("the file does not have the password of the account")
	}
}

func TestFileIsNotWrittenForAnAdminThatAnotherProcessMakesMeanwhile(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ours, theirs := firstAdmin(t), firstAdmin(t)
	late := b.with(func(c *app.Config) {
		c.Exclusive = beforehand{Exclusive: b.config.Exclusive, do: func() { b.ensureAdmin(t, theirs) }}
	})
	if made, err := late.Commands.FirstAdmin.Handle(t.Context(), ours); err != nil || made {
		t.Errorf("made %v, %v", made, err)
	}
	if _, err := os.Stat(ours.PasswordFile); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a password that opens nothing was written: %v", err)
	}
}

// beforehand does something just before the lock is asked for.
type beforehand struct {
	app.Exclusive
	do func()
}

func (b beforehand) Do(ctx context.Context, name string, do func(context.Context) error) error {
	b.do()
	return b.Exclusive.Do(ctx, name, do)
}

func TestFirstAdminUnderATakenNameIsSaid(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	somebody := ada()
	somebody.Username = "Admin"
	b.register(t, somebody)
	command := firstAdmin(t)
	_, err := b.Commands.FirstAdmin.Handle(t.Context(), command)
	expect(t, err, app.ErrUsernameTaken)
	if _, err := os.Stat(command.PasswordFile); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a password that opens nothing was written: %v", err)
	}
}

func TestUnwritableFileMakesNoAdmin(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	command := firstAdmin(t)
	command.PasswordFile = filepath.Join(t.TempDir(), "taken")
	if err := os.MkdirAll(filepath.Join(command.PasswordFile, "by-a-directory"), 0o700); err != nil {
		t.Fatal(err)
	}
	if made, err := b.Commands.FirstAdmin.Handle(t.Context(), command); err == nil || made {
		t.Errorf("made %v, %v", made, err)
	}
	if events := b.count(t, `SELECT count(*) FROM log.events`); events != 0 {
		t.Error("there is an administrator whose password nobody knows")
	}
	if left, err := os.ReadDir(filepath.Dir(command.PasswordFile)); err != nil || len(left) != 1 {
		t.Errorf("%d files are left behind, %v", len(left)-1, err)
	}
}
