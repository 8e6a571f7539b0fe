package database

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// aliveFor is how long an answer of Alive is good, so that health checks cost
	// a database no more than one look a second.
	aliveFor = time.Second
	// aliveTimeout bounds a look, the wait for a free connection included.
	aliveTimeout = time.Second
)

// Alive makes the question, for a health check, whether each of the pools'
// databases answers within a second. An answer is remembered for a second.
func Alive(pools ...*pgxpool.Pool) func() bool {
	return remembered(time.Now, func(ctx context.Context) bool {
		for _, pool := range pools {
			if pool.Ping(ctx) != nil {
				return false
			}
		}
		return true
	})
}

func remembered(now func() time.Time, look func(context.Context) bool) func() bool {
	var (
		mu     sync.Mutex // held during a look, so that there is one at a time
		answer bool
		until  time.Time
	)
	return func() bool {
		mu.Lock()
		defer mu.Unlock()
		if now().Before(until) {
			return answer
		}
		ctx, cancel := context.WithTimeout(context.Background(), aliveTimeout)
		defer cancel()
		answer = look(ctx)
		until = now().Add(aliveFor)
		return answer
	}
}
