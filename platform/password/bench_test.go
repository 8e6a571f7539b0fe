package password

import (
	"errors"
	"runtime"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/muster-id/muster/platform/secret"
)

// BenchmarkSaturation compares the pool with twice as many callers as workers
// and the bare algorithm on every core, in turns within one run, so that a
// machine that slows down slows both. `pool/raw` is the share of the raw rate
// that is left to logins.
func BenchmarkSaturation(b *testing.B) {
	workers := runtime.GOMAXPROCS(0)
	pool := NewPool(DefaultParams, 0, 0)
	secretText := secret.New("correct horse battery staple")
	verifier, err := pool.Hash(b.Context(), secretText)
	if err != nil {
		b.Fatal(err)
	}
	parsed, err := decode(verifier)
	if err != nil {
		b.Fatal(err)
	}
	password := []byte(secretText.Reveal())
	const each = 4 // hashes a worker computes in a round
	run := func(callers, perCaller int, hash func() error) float64 {
		began := b.Elapsed()
		var group errgroup.Group
		for range callers {
			group.Go(func() error {
				for range perCaller {
					if err := hash(); err != nil {
						return err
					}
				}
				return nil
			})
		}
		if err := group.Wait(); err != nil {
			b.Fatal(err)
		}
		return (b.Elapsed() - began).Seconds()
	}
	var raw, pooled float64
	for b.Loop() {
		raw += run(workers, each, func() error {
			argon2id(password, parsed.salt, parsed.params, keyLength)
			return nil
		})
		pooled += run(2*workers, each/2, func() error {
			right, err := pool.Verify(b.Context(), verifier, secretText)
			if err == nil && !right {
				err = errors.New("the right password is wrong")
			}
			return err
		})
	}
	b.ReportMetric(raw/pooled, "pool/raw")
	b.ReportMetric(float64(b.N*each*workers)/pooled, "logins/s")
}
