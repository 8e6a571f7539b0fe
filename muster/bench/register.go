package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"

	"connectrpc.com/connect"
	"github.com/google/uuid"
	"golang.org/x/crypto/argon2"
	"golang.org/x/sync/errgroup"

	"github.com/muster-id/muster/platform/password"
	"github.com/muster-id/muster/platform/serve"
	identityv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/identity/v1/identityv1connect"
)

// registrations a round: some seconds.
const registrations = 200

// measureRegister compares registrations at identity, called as the gateway calls
// it, with the hashes that they cannot do without.
func measureRegister(ctx context.Context, b *bench) error {
	w, err := b.open(ctx, true)
	if err != nil {
		return err
	}
	identity, err := w.identity()
	if err != nil {
		return err
	}
	slots := min(runtime.GOMAXPROCS(0), runtime.NumCPU()) // as identity's pool has
	n := registrations
	if b.Quick {
		n = 10 * slots
	}
	// Twice the clients always leave a hash to do while others wait for the disk.
	if err := b.registerAgainst(ctx, w, identity, slots, slots, n, atLeast(0.90)); err != nil {
		return err
	}
	return b.registerAgainst(ctx, w, identity, 2*slots, slots, n, bound{})
}

// identity is called as the gateway calls it.
func (w *world) identity() (identityv1connect.IdentityServiceClient, error) {
	client, url, err := w.as("gateway", "identity")
	if err != nil {
		return nil, err
	}
	return identityv1connect.NewIdentityServiceClient(client, url, serve.ClientInterceptors()), nil
}

func (b *bench) registerAgainst(ctx context.Context, w *world, identity identityv1connect.IdentityServiceClient, clients, slots, n int, reach bound) error {
	what := fmt.Sprintf("Register, hash and keyring included, %d clients", clients)
	rate := func(s float64) string { return fmt.Sprintf("%.1f/s", float64(n)/s) }
	var peaks sample
	var cost used
	quiet := func(ctx context.Context) error { return w.settle(ctx, b.say) }
	samples, err := b.takeTurns(ctx, what, rate,
		side{
			name: "Register",
			prepare: func(ctx context.Context) error {
				return errors.Join(quiet(ctx), w.tidy(ctx, "identity"), resetPeak(w.PIDs["identity"]))
			},
			measure: func(ctx context.Context) (took float64, err error) {
				before, err := w.uses()
				if err != nil {
					return 0, err
				}
				err = b.profiled(ctx, w, fmt.Sprintf("register-%d", clients), func() (err error) {
					took, err = timed(func(ctx context.Context) error {
						return atOnceDo(ctx, clients, n, func(ctx context.Context) error {
							_, err := identity.RegisterUser(ctx, connect.NewRequest(newcomer()))
							return err
						})
					})(ctx)
					return err
				})
				if err != nil {
					return 0, err
				}
				after, err := w.uses()
				if err != nil {
					return 0, err
				}
				cost = after.since(before)
				own, err := peak(w.PIDs["identity"])
				peaks = append(peaks, own)
				return took, err
			},
		},
		side{
			name:    "raw Argon2id",
			prepare: quiet,
			measure: timed(func(ctx context.Context) error { return hashAlone(ctx, slots, n) }),
		},
	)
	if err != nil {
		return err
	}
	b.add(row{
		what: what, rival: fmt.Sprintf("raw Argon2id of the same costs, %d at once", slots),
		ratio: samples[1].over(samples[0]), reach: reach,
		ours: absolute{samples[0], rate}, theirs: absolute{samples[1], rate}, memory: "identity " + mebibytes(peaks.median()),
	})
	each := func(s float64) string { return milliseconds(s / float64(n)) }
	b.note("A registration with %d clients takes the machine %s, of %s a hash alone. Processor time of one in the last round: identity %s with the hash, credentials %s, PostgreSQL %s.",
		clients, each(samples[0].median()*float64(slots)), each(samples[1].median()*float64(slots)), each(cost.identity), each(cost.credentials), each(cost.postgres))
	return nil
}

// newcomer is somebody who was never here.
func newcomer() *identityv1.RegisterUserRequest {
	name := "bench-" + uuid.NewString()
	return &identityv1.RegisterUserRequest{
		Username: name, Email: name + "@example.org", Password: everybodysPassword.Reveal(), FirstName: "Ada", LastName: "Lovelace",
	}
}

// atOnceDo does something n times, by some at once.
func atOnceDo(ctx context.Context, workers, n int, do func(context.Context) error) error {
	var left atomic.Int64
	left.Store(int64(n))
	group, ctx := errgroup.WithContext(ctx)
	for range workers {
		group.Go(func() error {
			for left.Add(-1) >= 0 {
				if err := do(ctx); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// hashAlone computes n hashes of identity's costs.
func hashAlone(ctx context.Context, workers, n int) error {
	costs := password.DefaultParams
	word := []byte(everybodysPassword.Reveal())
	return atOnceDo(ctx, workers, n, func(ctx context.Context) error {
		salt := make([]byte, 16)
		_, _ = rand.Read(salt) // it never fails
		argon2.IDKey(word, salt, costs.Time, costs.MemoryKiB, costs.Parallelism, 32)
		return ctx.Err()
	})
}
