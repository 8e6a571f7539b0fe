package eventlog_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/eventlog"
)

// BenchmarkLag is the time from a commit to the reader over mTLS, of one who asks
// for each page and of one who follows.
func BenchmarkLag(b *testing.B) {
	type arrive func(context.Context, eventstore.Page) error
	for name, read := range map[string]func(context.Context, *eventlog.Client, arrive) error{
		"read": func(ctx context.Context, client *eventlog.Client, arrive arrive) error {
			for cursor := eventstore.Cursor(""); ; {
				page, err := client.ReadLog(ctx, cursor, 500, 5*time.Second)
				if err != nil {
					return err
				}
				if err := arrive(ctx, page); err != nil {
					return err
				}
				cursor = page.Next
			}
		},
		"follow": func(ctx context.Context, client *eventlog.Client, arrive arrive) error {
			return client.Follow(ctx, eventlog.Following{}, arrive)
		},
	} {
		b.Run(name, func(b *testing.B) {
			s := newService(b)
			client := eventlog.NewClient(s.as(b, "credentials"))
			ctx, stop := context.WithCancel(b.Context())
			defer stop()
			arrived, ended := make(chan time.Time), make(chan error, 1)
			go func() {
				ended <- read(ctx, client, func(ctx context.Context, page eventstore.Page) error {
					for range page.Events {
						select {
						case arrived <- time.Now():
						case <-ctx.Done():
							return ctx.Err()
						}
					}
					return nil
				})
			}()
			var lags []time.Duration
			for b.Loop() {
				s.mustAppend(b, "thing-1", event("Happened"))
				committed := time.Now()
				lags = append(lags, (<-arrived).Sub(committed))
			}
			stop()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				b.Error(err)
			}
			slices.Sort(lags)
			b.ReportMetric(float64(lags[len(lags)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(lags[len(lags)*99/100].Microseconds()), "p99-µs")
		})
	}
}
