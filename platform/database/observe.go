package database

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"

	statusv1 "github.com/muster-id/muster/proto/gen/go/muster/status/v1"
)

// Probe makes the probe of a pool's database, for package status. A pool without
// a free connection works, but late.
func Probe(pool *pgxpool.Pool) func(context.Context) (statusv1.State, string, error) {
	return func(ctx context.Context) (statusv1.State, string, error) {
		err := pool.Ping(ctx)
		if err == nil {
			return statusv1.State_STATE_UP, "", nil
		}
		if stat := pool.Stat(); stat.AcquiredConns() == stat.MaxConns() {
			return statusv1.State_STATE_DEGRADED, "all connections are in use", err
		}
		return statusv1.State_STATE_DOWN, "does not answer", err
	}
}

// Metrics makes the source of a pool's metrics, for package metrics. The name is
// the database's, for operators.
func Metrics(name string, pool *pgxpool.Pool) func(emit func(name, help string, value float64, labels ...string)) {
	return func(emit func(name, help string, value float64, labels ...string)) {
		stat := pool.Stat()
		emit("muster_database_connections", "Connections that are open.", float64(stat.TotalConns()), "database", name)
		emit("muster_database_connections_in_use", "Connections that are in use.", float64(stat.AcquiredConns()), "database", name)
		emit("muster_database_connections_max", "Connections that there may be at most.", float64(stat.MaxConns()), "database", name)
		emit("muster_database_waits_total", "Calls that had to wait for a connection.", float64(stat.EmptyAcquireCount()), "database", name)
		emit("muster_database_wait_seconds_total", "Time that calls have waited for a connection.", stat.EmptyAcquireWaitTime().Seconds(), "database", name)
	}
}
