package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/identity/internal/user"
	"github.com/muster-id/muster/platform/loginname"
	"github.com/muster-id/muster/platform/secret"
)

// firstAdminTimeout bounds the whole of it. It is shorter than the server's
// bound on an idle transaction, which holds the lock.
const firstAdminTimeout = 20 * time.Second

// FirstAdmin sees to it that there is an administrator to begin with.
type FirstAdmin struct {
	Username string
	Email    string
	// PasswordFile is where the one-time password is written, mode 0600.
	PasswordFile string
}

// FirstAdminHandler handles FirstAdmin.
type FirstAdminHandler struct {
	accounts  accounts
	passwords Passwords
	exclusive Exclusive
}

// Handle makes the first administrator, with a password that has to be changed
// at the first sign-in, and tells whether it did. If there has ever been one it
// does nothing and leaves the file alone.
//
// The password is in the file before the account is in the log: a crash in
// between leaves a password that opens nothing, and the next start writes a new
// one. The other way round nobody would know the password. The lock keeps a
// second process from writing its own password over that of the first.
func (h *FirstAdminHandler) Handle(ctx context.Context, f FirstAdmin) (made bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, firstAdminTimeout)
	defer cancel()
	if made, err = h.handle(ctx, f); err != nil {
		return false, fmt.Errorf("make the first administrator: %w", err)
	}
	return made, nil
}

func (h *FirstAdminHandler) handle(ctx context.Context, f FirstAdmin) (made bool, err error) {
	// The ordinary start ends here, without a hash and without the lock.
	if exists, err := h.exists(ctx); err != nil || exists {
		return false, err
	}
	account := user.Registration{Roles: []string{user.RoleAdmin}, MustChange: true}
	if account.Username, err = canonical("username", f.Username, loginname.Username); err != nil {
		return false, err
	}
	if account.Email, err = canonical("email", f.Email, loginname.Email); err != nil {
		return false, err
	}
	password := secret.New(rand.Text())
	if account.Verifier, err = h.passwords.Hash(ctx, password); err != nil {
		return false, err
	}
	id, err := h.accounts.newID()
	if err != nil {
		return false, fmt.Errorf("make an account id: %w", err)
	}
	account.ID = id.String()
	err = h.exclusive.Do(ctx, kindFirstAdmin, func(ctx context.Context) error {
		if exists, err := h.exists(ctx); err != nil || exists {
			return err
		}
		if err := h.accounts.free(ctx, h.accounts.opening(account).Reserve); err != nil {
			return err
		}
		if err := writeSecret(f.PasswordFile, password); err != nil {
			return err
		}
		_, err := h.accounts.open(ctx, account, eventstore.Context{Metadata: eventstore.Metadata{Actor: "service-" + LogName}}, h.firstAdmin())
		made = err == nil
		return err
	})
	return made, err
}

func (h *FirstAdminHandler) firstAdmin() eventstore.Reservation {
	return h.accounts.reserve(kindFirstAdmin, "")
}

func (h *FirstAdminHandler) exists(ctx context.Context) (bool, error) {
	taken, err := h.accounts.log.Reserved(ctx, []eventstore.Reservation{h.firstAdmin()})
	if err != nil {
		return false, fmt.Errorf("look for the first administrator: %w", err)
	}
	return len(taken) > 0, nil
}

// writeSecret writes a file that only its owner may read, whole or not at all.
func writeSecret(path string, text secret.String) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	file, err := os.CreateTemp(filepath.Dir(path), ".password-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = file.WriteString(text.Reveal() + "\n")
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, errors.Join(err, os.Remove(file.Name())))
	}
	// The new name has to outlive a power cut too, as the account will.
	directory, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := errors.Join(directory.Sync(), directory.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
