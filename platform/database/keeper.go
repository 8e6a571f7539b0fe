package database

import (
	"context"
	_ "embed"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	statusv1 "github.com/muster-id/muster/proto/gen/go/muster/status/v1"
)

//go:embed queries/incarnation.sql
var incarnationSQL string

const (
	// lookInterval is the mean time between two looks of a Keeper.
	lookInterval = time.Second
	// lookTimeout bounds one, the wait for a free connection included.
	lookTimeout = 2 * time.Second
	// remadeTimeout bounds the hook.
	remadeTimeout = 30 * time.Second
)

// KeeperConfig is what a Keeper works with.
type KeeperConfig struct {
	// Pool of the run-time role, which begins anew with a new database.
	Pool *pgxpool.Pool
	// URLs of both roles.
	URLs URLs
	// Migrations of all schemas.
	Migrations []Migrations
	// Remade puts what the process has in memory into the new database; nil for
	// nothing. Every replica calls it, also once at its start, and again when it
	// has failed.
	Remade func(ctx context.Context) error
	// Logger gets a line when the database is lost, when it is whole again, and
	// when something new keeps it from being so.
	Logger *slog.Logger
}

// Keeper makes a database anew when it is lost while the service runs: dropped,
// emptied, or made again empty. Several processes may do it at once.
//
// As Make, it is for databases that hold nothing but what can be made again, and
// never for one with an event log in it.
type Keeper struct {
	config KeeperConfig
	tables []string

	// known is the database that is whole and has been told to Remade; the zero
	// one before the first. It belongs to Run.
	known incarnation

	mu      sync.Mutex
	lost    bool
	problem error // why it is not made
}

// incarnation is a database, and the tables of what has been migrated in it.
type incarnation struct {
	database uint32
	tables   []uint32
}

func (i incarnation) is(other incarnation) bool {
	return i.database == other.database && slices.Equal(i.tables, other.tables)
}

// NewKeeper makes a Keeper of a database that Make has made; it does nothing
// before Run.
func NewKeeper(config KeeperConfig) *Keeper {
	k := &Keeper{config: config}
	for _, set := range config.Migrations {
		k.tables = append(k.tables, set.table())
	}
	return k
}

// Run looks about every second until ctx ends, and then returns nil.
func (k *Keeper) Run(ctx context.Context) error {
	for {
		k.keep(ctx)
		// Jitter, so that replicas do not look together.
		timer := time.NewTimer(lookInterval/2 + rand.N(lookInterval))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// Whole tells whether the database was there at the last look, with all that
// belongs in it.
func (k *Keeper) Whole() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return !k.lost
}

// Probe is the probe of the database, for package status.
func (k *Keeper) Probe(ctx context.Context) (statusv1.State, string, error) {
	k.mu.Lock()
	lost, problem := k.lost, k.problem
	k.mu.Unlock()
	switch {
	case lost && problem != nil:
		return statusv1.State_STATE_DOWN, "was lost, and cannot be made anew", problem
	case lost:
		return statusv1.State_STATE_DOWN, "was lost, and is being made anew", nil
	}
	return Probe(k.config.Pool)(ctx)
}

// keep makes the database whole where it is not the one that is known. A server
// that does not answer says nothing about what it has.
func (k *Keeper) keep(ctx context.Context) {
	found, err := k.look(ctx)
	if Away(err) {
		// As a rule one connection that broke is not the only one, and the next call
		// should not have to find that out.
		k.config.Pool.Reset()
		found, err = k.look(ctx)
	}
	lost := Lost(err) || code(err) == notAllowed || err == nil && slices.Contains(found.tables, 0)
	if err != nil && !lost || err == nil && found.is(k.known) {
		return
	}
	first := k.known.database == 0 && !lost
	if !first {
		k.isLost(ctx)
	}
	began := time.Now()
	made, err := k.remake(ctx)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		k.isNotMade(ctx, err)
		return
	}
	k.known = made
	k.isWhole(ctx, time.Since(began))
}

func (k *Keeper) look(ctx context.Context) (incarnation, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	var found incarnation
	if err := k.config.Pool.QueryRow(ctx, incarnationSQL, k.tables).Scan(&found.database, &found.tables); err != nil {
		return incarnation{}, fmt.Errorf("look at the database: %w", err)
	}
	return found, nil
}

// remake gives what was made. Where another process is making it, it waits for
// that and finds nothing to do.
func (k *Keeper) remake(ctx context.Context) (incarnation, error) {
	if err := Make(ctx, k.config.URLs, k.config.Migrations...); err != nil {
		return incarnation{}, err
	}
	if !k.Whole() {
		k.config.Pool.Reset() // its connections know statements on tables that are gone
	}
	// Looked at before the hook: what is dropped under it is found to be another.
	made, err := k.look(ctx)
	if err != nil || k.config.Remade == nil {
		return made, err
	}
	ctx, cancel := context.WithTimeout(ctx, remadeTimeout)
	defer cancel()
	if err := k.config.Remade(ctx); err != nil {
		return incarnation{}, fmt.Errorf("put into the new database what the process has: %w", err)
	}
	return made, nil
}

func (k *Keeper) isLost(ctx context.Context) {
	k.mu.Lock()
	before := k.lost
	k.lost = true
	k.mu.Unlock()
	if !before {
		k.config.Logger.ErrorContext(ctx, "the database was lost, or is another one: making what is missing")
	}
}

func (k *Keeper) isNotMade(ctx context.Context, err error) {
	k.mu.Lock()
	before := k.problem
	k.problem = err
	k.mu.Unlock()
	if before == nil || before.Error() != err.Error() {
		k.config.Logger.ErrorContext(ctx, "the database cannot be made whole, trying again", slog.Any("error", err))
	}
}

func (k *Keeper) isWhole(ctx context.Context, took time.Duration) {
	k.mu.Lock()
	lost := k.lost
	k.lost, k.problem = false, nil
	k.mu.Unlock()
	if lost {
		k.config.Logger.InfoContext(ctx, "the database is whole again", slog.Duration("took", took))
	}
}
