package main

import (
	"context"
	_ "embed" // the statements
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/postgres"
	"github.com/muster-id/muster/platform/database"
	"github.com/muster-id/muster/platform/devstack"
	"github.com/muster-id/muster/platform/password"
	"github.com/muster-id/muster/platform/secret"
)

// logConnections is how many identity has to its log.
const logConnections = 20

//go:embed queries/insert.sql
var insertSQL string

//go:embed queries/unnest.sql
var unnestSQL string

// arena is where appends are measured: two databases of one server with the same
// migrations, so with the same columns, constraints and indexes. The log writes
// to one, the rival to the other, over pools like identity's.
type arena struct {
	log         *postgres.Log
	ours, rival *pgxpool.Pool
	// admin may do everything in the log's database.
	admin  *pgx.Conn
	filler *filler
	// stop ends the log's background work, whose end ended tells.
	stop  context.CancelFunc
	ended chan error
}

// inArena runs a measurement on a server that has nothing else to do.
func (b *bench) inArena(ctx context.Context, do func(*arena) error) (err error) {
	if err := b.close(); err != nil {
		return err
	}
	dir := filepath.Join(b.Data, "arena")
	b.say("starting PostgreSQL alone")
	server, err := devstack.Start(ctx, devstack.Config{Dir: dir, Progress: b.progress, Getenv: lookup(withoutServers(os.Environ()))})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop(), devstack.Remove(dir)) }()
	ours, err := arenaDatabase(ctx, server.AdminURL, "bench_log")
	if err != nil {
		return err
	}
	rival, err := arenaDatabase(ctx, server.AdminURL, "bench_rival")
	if err != nil {
		return err
	}
	a, err := newArena(ctx, server.AdminURL, ours, rival)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.close(ctx)) }()
	return do(a)
}

func lookup(environ []string) func(string) string {
	return func(name string) string {
		for _, pair := range environ {
			if value, ok := strings.CutPrefix(pair, name+"="); ok {
				return value
			}
		}
		return ""
	}
}

// arenaDatabase makes a database with the log's tables.
func arenaDatabase(ctx context.Context, admin secret.String, name string) (secret.String, error) {
	words := secret.New(uuid.NewString())
	urls, err := database.Provision(ctx, admin, database.Spec{
		Database: name,
		Owner:    database.Login{Name: name + "_owner", Password: words},
		Runtime:  database.Login{Name: name, Password: words},
		Schemas:  []string{postgres.Schema},
	})
	if err != nil {
		return secret.String{}, err
	}
	return urls.Runtime, database.Migrate(ctx, urls.Owner, database.Migrations{Schema: postgres.Schema, Files: postgres.Migrations()})
}

// newArena opens two databases with the log's tables. Close has to follow.
func newArena(ctx context.Context, admin, ours, rival secret.String) (_ *arena, err error) {
	a := &arena{stop: func() {}}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.close(ctx))
		}
	}()
	if a.ours, err = database.Open(ctx, ours, "bench", logConnections); err != nil {
		return nil, err
	}
	if a.rival, err = database.Open(ctx, rival, "bench", logConnections); err != nil {
		return nil, err
	}
	if a.admin, err = connectTo(ctx, admin, a.ours.Config().ConnConfig.Database); err != nil {
		return nil, err
	}
	if a.log, err = postgres.Open(ctx, a.ours, logName, slog.New(slog.DiscardHandler)); err != nil {
		return nil, err
	}
	if a.filler, err = newFiller(ctx, a.ours, strangeKeys{}, password.DefaultParams); err != nil {
		return nil, err
	}
	// Identity's runs all the time: to tell readers of appends is part of their cost.
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	a.stop, a.ended = stop, make(chan error, 1)
	go func() { a.ended <- a.log.Run(background) }()
	return a, nil
}

func (a *arena) close(ctx context.Context) (err error) {
	a.stop()
	if a.ended != nil {
		err = <-a.ended
	}
	for _, pool := range []*pgxpool.Pool{a.ours, a.rival} {
		if pool != nil {
			pool.Close()
		}
	}
	if a.admin != nil {
		err = errors.Join(err, a.admin.Close(context.WithoutCancel(ctx)))
	}
	return err
}

// append writes a batch as a command does.
func (a *arena) append(ctx context.Context, b *batch) error {
	_, err := a.log.Append(ctx, b.append)
	return err
}

// insert writes the same bytes without the log.
func (a *arena) insert(ctx context.Context, b *batch) error {
	statement, arguments := unnestSQL, b.lists
	if b.row != nil {
		statement, arguments = insertSQL, b.row
	}
	_, err := a.rival.Exec(ctx, statement, arguments...)
	return err
}

// appendAll writes the commands of an import at once.
func (a *arena) appendAll(ctx context.Context, commands []batch) error {
	appends := make([]eventstore.Append, len(commands))
	for i := range commands {
		appends[i] = commands[i].append
	}
	_, err := a.log.AppendAll(ctx, appends, nil)
	return err
}

// copy writes their events without the log.
func (a *arena) copy(ctx context.Context, commands []batch) error {
	var events []eventstore.Event
	for i := range commands {
		events = append(events, commands[i].append.Events...)
	}
	return copyEvents(ctx, a.rival, events)
}

// vacuum does what autovacuum does sooner or later.
func (a *arena) vacuum(ctx context.Context) error {
	if _, err := a.admin.Exec(ctx, `VACUUM (ANALYZE)`); err != nil {
		return fmt.Errorf("vacuum: %w", err)
	}
	return nil
}

// calm has what is dirty written and what is garbage freed before it is measured,
// rather than in the middle of whoever comes next.
func (a *arena) calm(ctx context.Context) error {
	if _, err := a.admin.Exec(ctx, `CHECKPOINT`); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	runtime.GC()
	return resetPeak(os.Getpid())
}
