package store

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/muster-id/muster/credentials/internal/access"
	"github.com/muster-id/muster/platform/secret"
)

var (
	//go:embed queries/account_by_username.sql
	accountByUsername string
	//go:embed queries/account_by_email.sql
	accountByEmail string
	//go:embed queries/complete.sql
	complete string
	//go:embed queries/save_rehashed.sql
	saveRehashed string
)

// AccountByUsername finds who has a canonical username. Errors: ErrNotFound,
// ErrIncomplete.
func (s *Store) AccountByUsername(ctx context.Context, username string) (access.Account, error) {
	return s.account(ctx, accountByUsername, username)
}

// AccountByEmail finds who has a canonical email address. Errors: ErrNotFound,
// ErrIncomplete.
func (s *Store) AccountByEmail(ctx context.Context, email string) (access.Account, error) {
	return s.account(ctx, accountByEmail, email)
}

func (s *Store) account(ctx context.Context, query, name string) (access.Account, error) {
	var account access.Account
	var verifier *string
	var whole bool
	// Both in one go, so that who is not there costs as much as who is.
	var batch pgx.Batch
	batch.Queue(complete, access.Name).QueryRow(func(row pgx.Row) error { return scanComplete(row, &whole) })
	batch.Queue(query, access.Name, name).QueryRow(func(row pgx.Row) error {
		return row.Scan(&account.UserID, &verifier, &account.PasswordVersion,
			&account.MustChange, &account.Active, &account.Roles, &account.SessionsFrom, &account.AccessVersion)
	})
	err := s.pool.SendBatch(ctx, &batch).Close()
	if (err == nil || errors.Is(err, pgx.ErrNoRows)) && !whole {
		return access.Account{}, fmt.Errorf("find account: %w", ErrIncomplete)
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return access.Account{}, fmt.Errorf("find account: %w", ErrNotFound)
	}
	if err != nil {
		return access.Account{}, fmt.Errorf("find account: %w", err)
	}
	if verifier != nil {
		account.Verifier = secret.New(*verifier)
	}
	return account, nil
}

// scanComplete reads whether the rows were ever complete; those of a database
// that was made a moment ago have no pointer yet.
func scanComplete(row pgx.Row, whole *bool) error {
	err := row.Scan(whole)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	return err
}

// SaveRehashed keeps a verifier made again for an account's present password.
// If the password has changed meanwhile, it keeps nothing.
func (s *Store) SaveRehashed(ctx context.Context, account access.Account, verifier secret.String, now time.Time) error {
	_, err := s.pool.Exec(ctx, saveRehashed, access.Name, account.UserID, account.PasswordVersion, verifier.Reveal(), now)
	if err != nil {
		return fmt.Errorf("save rehashed verifier: %w", err)
	}
	return nil
}
