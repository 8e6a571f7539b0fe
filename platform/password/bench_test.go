package password

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"testing"
	"time"

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

// BenchmarkOtherCalls measures a small HTTP call while every worker hashes, with
// room made for it and without.
func BenchmarkOtherCalls(b *testing.B) {
	for name, room := range map[string]bool{"room": true, "no room": false} {
		b.Run(name, func(b *testing.B) {
			pool := NewPool(DefaultParams, 0, 0)
			if room {
				defer pool.MakeRoom()()
			}
			ctx, cancel := context.WithCancel(b.Context())
			var storm errgroup.Group
			for range 4 * pool.line.Places() {
				storm.Go(func() error {
					for ctx.Err() == nil {
						_ = pool.VerifyUnknown(ctx, secret.New("correct horse")) // it fails when ctx ends
					}
					return nil
				})
			}
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
			defer server.Close()
			var took []time.Duration
			for b.Loop() {
				<-time.After(time.Millisecond) // a client is not always under way: the next call has to wake somebody
				began := time.Now()
				response, err := server.Client().Get(server.URL)
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, response.Body)
				_ = response.Body.Close()
				took = append(took, time.Since(began))
			}
			cancel()
			_ = storm.Wait() // it has no errors
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
		})
	}
}
