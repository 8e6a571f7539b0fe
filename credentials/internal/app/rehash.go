package app

import (
	"context"
	"log/slog"
	"time"

	"github.com/muster-id/muster/credentials/internal/access"
	"github.com/muster-id/muster/credentials/internal/store"
	"github.com/muster-id/muster/platform/password"
	"github.com/muster-id/muster/platform/secret"
)

const (
	// rehashQueue bounds how many passwords wait in memory. Whoever finds it full
	// has the verifier made again at the next sign-in.
	rehashQueue = 16
	// storeTimeout bounds a write that no caller waits for.
	storeTimeout = 5 * time.Second
)

// Rehasher makes verifiers again whose costs are not the present ones any more,
// one at a time and after the sign-in has been answered.
type Rehasher struct {
	store     *store.Store
	passwords *password.Pool
	logger    *slog.Logger
	now       func() time.Time
	queue     chan rehash
}

type rehash struct {
	account  access.Account
	password secret.String
}

// NewRehasher makes a Rehasher; it does nothing before Run.
func NewRehasher(store *store.Store, passwords *password.Pool, logger *slog.Logger, now func() time.Time) *Rehasher {
	return &Rehasher{store: store, passwords: passwords, logger: logger, now: now, queue: make(chan rehash, rehashQueue)}
}

// Run works until ctx ends, and then returns nil.
func (r *Rehasher) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case job := <-r.queue:
			if err := r.rehash(ctx, job); err != nil && ctx.Err() == nil {
				// Nothing is lost: the present verifier goes on serving.
				r.logger.WarnContext(ctx, "a password could not be hashed again with the present costs",
					slog.String("user_id", job.account.UserID.String()), slog.Any("error", err))
			}
		}
	}
}

func (r *Rehasher) offer(account access.Account, password secret.String) {
	select {
	case r.queue <- rehash{account, password}:
	default:
	}
}

func (r *Rehasher) rehash(ctx context.Context, job rehash) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	verifier, err := r.passwords.Hash(ctx, job.password)
	if err != nil {
		return err
	}
	return r.store.SaveRehashed(ctx, job.account, verifier, r.now())
}
