package projection

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/postgres"
	"github.com/muster-id/muster/platform/database"
	"github.com/muster-id/muster/platform/devstack"
	"github.com/muster-id/muster/platform/secret"
)

// logServer is a PostgreSQL of the test's own, for the log alone: backups of it
// are taken and brought back while the projection's database goes on elsewhere.
type logServer struct {
	dir   string
	stack *devstack.Stack
	urls  database.URLs
}

func newLogServer(t *testing.T) *logServer {
	t.Helper()
	s := &logServer{dir: filepath.Join(t.TempDir(), "server")}
	var err error
	if s.stack, err = devstack.Start(t.Context(), devstack.Config{Dir: s.dir, Getenv: func(string) string { return "" }}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(s.stack.Stop(), devstack.Remove(s.dir)); err != nil {
			t.Error(err)
		}
	})
	s.provision(t)
	if err := database.Migrate(t.Context(), s.urls.Owner, database.Migrations{Schema: postgres.Schema, Files: postgres.Migrations()}); err != nil {
		t.Fatal(err)
	}
	return s
}

// start starts one that was stopped, at the address that it had: nobody else is
// given it in the meantime.
func (s *logServer) start(t *testing.T) {
	t.Helper()
	if err := s.stack.StartPostgres(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (s *logServer) stop(t *testing.T) {
	t.Helper()
	if err := s.stack.StopPostgres(); err != nil {
		t.Fatal(err)
	}
}

func (s *logServer) provision(t *testing.T) {
	t.Helper()
	var err error
	if s.urls, err = database.Provision(t.Context(), s.stack.AdminURL, database.Spec{
		Database: "muster_log",
		Owner:    database.Login{Name: "muster_test_owner", Password: secret.New("muster_test_owner")},
		Runtime:  database.Login{Name: "muster_test", Password: secret.New("muster_test")},
		Schemas:  []string{postgres.Schema},
	}); err != nil {
		t.Fatal(err)
	}
}

// data is the folder that the server keeps its data in.
func (s *logServer) data(t *testing.T) string {
	t.Helper()
	folder, err := filepath.EvalSymlinks(filepath.Join(s.dir, "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(folder, "data")
}

// client runs one of PostgreSQL's own programs on the log's database, the one
// that came with the server.
func (s *logServer) client(t *testing.T, program string, arguments ...string) {
	t.Helper()
	server, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", s.stack.Servers()[0].PID))
	if err != nil {
		t.Fatal(err)
	}
	admin := strings.Replace(s.stack.AdminURL.Reveal(), "/postgres?", "/muster_log?", 1)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, filepath.Join(filepath.Dir(server), program), append(arguments, "--dbname", admin)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", program, err, out)
	}
}

func (s *logServer) asAdmin(t *testing.T, statement string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.stack.AdminURL.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context()) //nolint:errcheck // nothing is pending
	if _, err := conn.Exec(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

// copyFolder copies a folder with the owners of its files.
func copyFolder(t *testing.T, from, to string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "cp", "-a", from, to).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// cold copies the server's disk, as a snapshot of it would be.
func cold(t *testing.T, s *logServer) (restore func()) {
	data := s.data(t)
	s.stop(t)
	copyFolder(t, data, data+".backup")
	s.start(t)
	return func() {
		s.stop(t)
		if err := os.RemoveAll(data); err != nil {
			t.Fatal(err)
		}
		copyFolder(t, data+".backup", data)
		s.start(t)
	}
}

// recovery is a way of losing what was written since a backup.
type recovery struct {
	// backup takes one, and gives what brings it back.
	backup func(t *testing.T, s *logServer) (restore func())
	// reasons are what the log may say afterwards: who notices first is a race.
	reasons []string
}

func recoveries() map[string]recovery {
	return map[string]recovery{
		"a disk that was set back": {cold, []string{"set back to an earlier state"}},
		"the promotion of a lagging stand-by": {func(t *testing.T, s *logServer) func() {
			data := s.data(t)
			restore := cold(t, s)
			return func() {
				if err := os.WriteFile(filepath.Join(data+".backup", "standby.signal"), nil, 0o644); err != nil {
					t.Fatal(err)
				}
				restore()
				s.asAdmin(t, `SELECT pg_promote()`)
			}
		}, []string{"another timeline"}},
		"a dump that was restored into a fresh cluster": {func(t *testing.T, s *logServer) func() {
			dump := filepath.Join(t.TempDir(), "log.dump")
			s.client(t, "pg_dump", "--format=custom", "--file", dump)
			return func() {
				data := s.data(t)
				s.stop(t)
				if err := os.RemoveAll(data); err != nil {
					t.Fatal(err)
				}
				s.start(t)
				s.provision(t)
				s.client(t, "pg_restore", "--clean", "--if-exists", "--exit-on-error", dump)
			}
		}, []string{"another cluster"}},
		"a dump that was restored in its place, under everybody": {func(t *testing.T, s *logServer) func() {
			dump := filepath.Join(t.TempDir(), "log.dump")
			s.client(t, "pg_dump", "--format=custom", "--file", dump)
			return func() {
				s.client(t, "pg_restore", "--clean", "--if-exists", "--exit-on-error", "--single-transaction", dump)
			}
		}, []string{"set back to an earlier state", "another table"}},
	}
}

// Whatever takes a log back to an earlier state, with a projection ahead of it
// and one behind: the log says what happened, cursors and positions of before are
// refused, and both projections become what the log is now. Nothing is missing,
// nothing is doubled, and nobody has to ask for anything.
func TestALogThatWasSetBackIsReadAnew(t *testing.T) {
	t.Parallel()
	for name, way := range recoveries() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newLogServer(t)
			pool, err := database.Open(t.Context(), s.urls.Runtime, "log-test", 8)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(pool.Close)
			log, err := postgres.Open(t.Context(), pool, "test", nil)
			if err != nil {
				t.Fatal(err)
			}
			keep(t, log)
			ahead, behind := newBench(t), newBench(t)
			p, late := ahead.projectorOf(log), behind.projectorOf(log)
			launch(t, p)
			stopLate := launch(t, late)
			for stream := range 5 {
				for range 4 {
					added(t, log, stream)
				}
			}
			ahead.becomes(t, p, log, pool)
			behind.becomes(t, late, log, pool)
			stopLate()
			restore := way.backup(t, s)
			// Twice: what is restored knows nothing of the epoch that the first time began.
			for round := range 2 {
				added(t, log, 0)
				added(t, log, 0)
				lost := added(t, log, 0)
				added(t, log, 9)
				ahead.becomes(t, p, log, pool)
				page, err := log.ReadLog(t.Context(), "", 1000, 0)
				if err != nil || !page.AtHead {
					t.Fatalf("at the head %t, %v", page.AtHead, err)
				}
				former := log.Epoch()

				restore()
				added(t, log, 0)
				added(t, log, 0)
				added(t, log, 7+round)
				ahead.becomes(t, p, log, pool)
				if err := p.Await(t.Context(), added(t, log, 7)); err != nil {
					t.Errorf("a position of now: %v", err)
				}
				if err := p.Await(t.Context(), lost); !errors.Is(err, eventstore.ErrEpochChanged) {
					t.Errorf("a position of before: %v, want ErrEpochChanged", err)
				}
				if _, err := log.ReadLog(t.Context(), page.Next, 10, 0); !errors.Is(err, eventstore.ErrEpochChanged) {
					t.Errorf("a cursor of before: %v, want ErrEpochChanged", err)
				}
				told, err := log.Describe(t.Context())
				said := func(reason string) bool { return strings.Contains(told.Epochs[0].Reason, reason) }
				if err != nil || told.Epochs[0].Number <= former || !slices.ContainsFunc(way.reasons, said) {
					t.Errorf("the log tells %+v, %v; want one of %q", told, err, way.reasons)
				}
			}
			again := behind.projectorOf(log)
			launch(t, again)
			behind.becomes(t, again, log, pool)
		})
	}
}

// keep runs what a log needs until the test ends.
func keep(t *testing.T, log *postgres.Log) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := log.Run(ctx); err != nil {
			t.Errorf("run log: %v", err)
		}
	}()
	t.Cleanup(func() { cancel(); <-ended })
}

// added appends an event to a stream, once the server is there.
func added(t *testing.T, log *postgres.Log, stream int) (at eventstore.Position) {
	t.Helper()
	eventually(t, "an event is appended", func() bool {
		appended, err := log.Append(t.Context(), eventstore.Append{
			Stream: fmt.Sprintf("user-%d", stream), Expected: eventstore.AnyVersion, Events: []eventstore.Event{happened(counted)},
		})
		at = appended.Position
		return err == nil
	})
	return at
}

// becomes waits until the rows that serve are a fold of what the log's table has.
func (b *bench) becomes(t *testing.T, p *Projector, log *postgres.Log, pool *pgxpool.Pool) {
	t.Helper()
	rows, err := pool.Query(t.Context(), `SELECT stream_id, stream_version, type, payload FROM log.events ORDER BY stream_id, stream_version`)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (event eventstore.Event, err error) {
		err = row.Scan(&event.Stream, &event.Version, &event.Type, &event.Payload)
		return event, err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprint(fold(all))
	var got string
	defer func() {
		if t.Failed() {
			t.Logf("epoch %d; %+v; rows\n%s\nwant\n%s", log.Epoch(), p.Stats(), got, want)
		}
	}()
	eventually(t, "the rows are what the log is", func() bool {
		got = fmt.Sprint(b.projection.rowsOf(t, b.pool, p.Stats().Generation))
		return got == want
	})
}
