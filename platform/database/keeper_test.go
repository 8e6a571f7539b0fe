package database_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"github.com/muster-id/muster/platform/database"
	"github.com/muster-id/muster/platform/secret"
	"github.com/muster-id/muster/platform/teststack"
	statusv1 "github.com/muster-id/muster/proto/gen/go/muster/status/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// kept is a database with a keeper, as a service has them.
type kept struct {
	*database.Keeper
	urls database.URLs
	pool *pgxpool.Pool
	// told counts the calls of the hook, which fail while refuses is set.
	told    atomic.Int64
	refuses atomic.Bool
	logged  *log
}

// log is what was logged.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func keep(t *testing.T, urls database.URLs) *kept {
	t.Helper()
	pool, err := database.Open(t.Context(), urls.Runtime, "ledger", 4)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	k := &kept{urls: urls, pool: pool, logged: &log{}}
	k.Keeper = database.NewKeeper(database.KeeperConfig{
		Pool: pool, URLs: urls, Migrations: []database.Migrations{ledger}, Logger: slog.New(slog.NewTextHandler(k.logged, nil)),
		Remade: func(ctx context.Context) error {
			k.told.Add(1)
			if k.refuses.Load() {
				return errors.New("nothing to be put in yet")
			}
			_, err := pool.Exec(ctx, `INSERT INTO ledger.entries (id) VALUES (42) ON CONFLICT DO NOTHING`)
			return err
		},
	})
	return k
}

// holds tells whether what the hook puts in is there.
func (k *kept) holds(t *testing.T) {
	t.Helper()
	var entries int
	if err := k.pool.QueryRow(t.Context(), `SELECT count(*) FROM ledger.entries WHERE id = 42`).Scan(&entries); err != nil || entries != 1 {
		t.Errorf("%d entries, %v; want that of the hook", entries, err)
	}
	if !k.Whole() {
		t.Error("it is not whole")
	}
}

func administer(t *testing.T, url secret.String, statements ...string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // nothing is pending
	for _, statement := range statements {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

func nameOf(t *testing.T, url secret.String) string {
	t.Helper()
	config, err := pgx.ParseConfig(url.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	return config.Database
}

// Nobody makes it again by hand, and no process starts anew: the pool that was in
// use goes on.
func TestADatabaseThatIsDroppedInUseIsMadeAgain(t *testing.T) {
	t.Parallel()
	k := keep(t, teststack.Database(t, ledger))
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := k.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	defer running.Wait()
	defer stop()
	until(t, "the hook was called at the start", func() bool { return k.told.Load() > 0 })
	if strings.Contains(k.logged.String(), "lost") {
		t.Errorf("a start is no loss: %s", k.logged)
	}
	for range 2 {
		teststack.Drop(t, k.urls.Runtime)
		until(t, "entries can be written again", func() bool {
			_, err := k.pool.Exec(t.Context(), `INSERT INTO ledger.entries (id) VALUES (1)`)
			if err != nil && !database.Away(err) && !database.Lost(err) {
				t.Errorf("neither away nor lost: %v", err)
			}
			return err == nil
		})
		until(t, "it is whole", k.Whole)
		k.holds(t)
	}
	if n := strings.Count(k.logged.String(), "is whole again"); n != 2 {
		t.Errorf("told %d times that it is whole again:\n%s", n, k.logged)
	}
}

func TestADatabaseThatIsMadeAgainIsAsConfinedAsBefore(t *testing.T) {
	t.Parallel()
	k := keep(t, teststack.Database(t, ledger))
	grants := func() (public, owner, runtime bool) {
		t.Helper()
		err := k.pool.QueryRow(t.Context(), `SELECT has_database_privilege('public', current_database(), 'CONNECT'),
			pg_get_userbyid(datdba) = 'muster_test_owner', has_table_privilege('ledger.entries', 'DELETE')
			FROM pg_database WHERE datname = current_database()`).Scan(&public, &owner, &runtime)
		if err != nil {
			t.Fatal(err)
		}
		return public, owner, runtime
	}
	for range 2 {
		if public, owner, runtime := grants(); public || !owner || runtime {
			t.Errorf("anybody may connect: %v; it is the owner's: %v; the run-time role deletes: %v", public, owner, runtime)
		}
		teststack.Drop(t, k.urls.Runtime)
		k.Keep(t.Context())
	}
	k.holds(t)
}

func TestTwoKeepersMakeItOnceAndEachIsTold(t *testing.T) {
	t.Parallel()
	urls := teststack.Database(t, ledger)
	keepers := []*kept{keep(t, urls), keep(t, urls), keep(t, urls)}
	for _, k := range keepers {
		k.Keep(t.Context())
	}
	teststack.Drop(t, urls.Runtime)
	var making sync.WaitGroup
	for _, k := range keepers {
		making.Go(func() {
			until(t, "it is told", func() bool {
				k.Keep(t.Context())
				return k.told.Load() > 1 && k.Whole()
			})
		})
	}
	making.Wait()
	for _, k := range keepers {
		k.holds(t)
		if strings.Contains(k.logged.String(), "cannot be made") {
			t.Errorf("they were in one another's way: %s", k.logged)
		}
	}
	// One that was not looking while another one made it.
	late := keepers[0].told.Load()
	teststack.Drop(t, urls.Runtime)
	keepers[1].Keep(t.Context())
	keepers[0].Keep(t.Context())
	if keepers[0].told.Load() != late+1 {
		t.Error("a keeper that finds another database, whole, is not told")
	}
}

// An operator who makes it again leaves it empty, and the schema of a service is
// dropped more easily than its database.
func TestAnEmptiedDatabaseIsFilled(t *testing.T) {
	t.Parallel()
	urls := teststack.Database(t, ledger)
	k := keep(t, urls)
	k.Keep(t.Context())
	for what, empty := range map[string]func(){
		"made again empty": func() {
			name := nameOf(t, urls.Owner)
			administer(t, teststack.Admin(t), `DROP DATABASE `+name+` WITH (FORCE)`, `CREATE DATABASE `+name+` OWNER muster_test_owner`)
		},
		"without its schema": func() { administer(t, urls.Owner, `DROP SCHEMA ledger CASCADE`) },
		"without its tables": func() { administer(t, urls.Owner, `DROP TABLE ledger.entries, ledger.migrations`) },
	} {
		empty()
		k.Keep(t.Context())
		t.Log(what)
		k.holds(t)
	}
}

// What cannot be done by oneself is told once, in words that can be acted on, and
// then waited for.
func TestWithoutTheRightItSaysWhatHasToBeDone(t *testing.T) {
	t.Parallel()
	name := "muster_test_" + strings.ToLower(rand.Text()[:12])
	spec := database.Spec{
		Database: name,
		Owner:    database.Login{Name: name + "_owner", Password: secret.New("owner")},
		Runtime:  database.Login{Name: name + "_runtime", Password: secret.New("runtime")},
		Schemas:  []string{"ledger"},
	}
	urls, err := database.Provision(t.Context(), teststack.Admin(t), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn, err := pgx.Connect(context.Background(), teststack.Admin(t).Reveal())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(context.Background()) //nolint:errcheck // nothing is pending
		for _, statement := range []string{`DROP DATABASE ` + name + ` WITH (FORCE)`, `DROP ROLE ` + spec.Owner.Name, `DROP ROLE ` + spec.Runtime.Name} {
			if _, err := conn.Exec(context.Background(), statement); err != nil {
				t.Error(err)
			}
		}
	})
	if err := database.Make(t.Context(), urls, ledger); err != nil {
		t.Fatal(err)
	}
	k := keep(t, urls)
	k.Keep(t.Context())
	teststack.Drop(t, urls.Runtime)
	for _, step := range []struct{ what, remedy string }{
		{"it is dropped", `CREATE DATABASE "` + name + `"`}, // by the administrator, and so theirs
		{"it is somebody else's", `ALTER DATABASE "` + name + `" OWNER TO "` + name + `_owner"`},
	} {
		k.Keep(t.Context())
		k.Keep(t.Context())
		if k.Whole() {
			t.Fatalf("%s: it is whole", step.what)
		}
		if n := strings.Count(strings.ReplaceAll(k.logged.String(), `\"`, `"`), step.remedy); n != 1 {
			t.Errorf("%s: %q is told %d times, want once:\n%s", step.what, step.remedy, n, k.logged)
		}
		if state, problem, _ := k.Probe(t.Context()); state != statusv1.State_STATE_DOWN || problem == "" {
			t.Errorf("%s: the probe says %v %q", step.what, state, problem)
		}
		administer(t, teststack.Admin(t), step.remedy)
	}
	k.Keep(t.Context())
	k.holds(t)
	if state, problem, err := k.Probe(t.Context()); state != statusv1.State_STATE_UP {
		t.Errorf("the probe says %v %q %v", state, problem, err)
	}
}

// The right to create databases is an owner's only where it was asked for, also
// for a role that is there already.
func TestOnlyWhoWasMeantToCreatesDatabases(t *testing.T) {
	t.Parallel()
	name := "muster_test_" + strings.ToLower(rand.Text()[:12])
	spec := database.Spec{
		Database: name,
		Owner:    database.Login{Name: name + "_owner", Password: secret.New("owner")},
		Runtime:  database.Login{Name: name + "_runtime", Password: secret.New("runtime")},
	}
	t.Cleanup(func() {
		conn, err := pgx.Connect(context.Background(), teststack.Admin(t).Reveal())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(context.Background()) //nolint:errcheck // nothing is pending
		for _, statement := range []string{`DROP DATABASE ` + name + ` WITH (FORCE)`, `DROP ROLE ` + spec.Owner.Name, `DROP ROLE ` + spec.Runtime.Name} {
			if _, err := conn.Exec(context.Background(), statement); err != nil {
				t.Error(err)
			}
		}
	})
	for _, spec.OwnerCreates = range []bool{false, true} {
		urls, err := database.Provision(t.Context(), teststack.Admin(t), spec)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := pgx.Connect(t.Context(), urls.Owner.Reveal())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // nothing is pending
		for _, role := range []struct {
			name string
			want bool
		}{{spec.Owner.Name, spec.OwnerCreates}, {spec.Runtime.Name, false}} {
			var creates bool
			if err := conn.QueryRow(t.Context(), `SELECT rolcreatedb FROM pg_roles WHERE rolname = $1`, role.name).Scan(&creates); err != nil || creates != role.want {
				t.Errorf("%s may create databases: %v, %v; want %v", role.name, creates, err, role.want)
			}
		}
	}
}

// A server that does not answer says nothing about what it has.
func TestADatabaseThatDoesNotAnswerIsNotLost(t *testing.T) {
	t.Parallel()
	k := keep(t, teststack.Database(t, ledger))
	k.Keep(t.Context())
	back := teststack.TakeAway(t, k.urls.Runtime)
	k.Keep(t.Context())
	if !k.Whole() || k.told.Load() != 1 || k.logged.String() != "" {
		t.Errorf("told %d times: %s", k.told.Load(), k.logged)
	}
	if _, err := k.pool.Exec(t.Context(), `SELECT`); !database.Away(err) || database.Lost(err) {
		t.Errorf("it is away, and not lost: %v", err)
	}
	back()
	k.Keep(t.Context())
	if k.told.Load() != 1 {
		t.Error("it was told of a database that is the same")
	}
}

// Until what the process has is in it, the new database is not whole.
func TestAHookThatFailsIsCalledAgain(t *testing.T) {
	t.Parallel()
	k := keep(t, teststack.Database(t, ledger))
	k.Keep(t.Context())
	k.refuses.Store(true)
	teststack.Drop(t, k.urls.Runtime)
	k.Keep(t.Context())
	k.Keep(t.Context())
	if k.Whole() || k.told.Load() != 3 {
		t.Errorf("whole: %v, told %d times", k.Whole(), k.told.Load())
	}
	k.refuses.Store(false)
	k.Keep(t.Context())
	k.holds(t)
}

func TestWhatIsAwayIsToldFromWhatIsWrong(t *testing.T) {
	t.Parallel()
	state := func(code string) error { return &pgconn.PgError{Code: code} }
	for name, c := range map[string]struct {
		err        error
		away, lost bool
	}{
		"no database":           {state("3D000"), false, true},
		"no table":              {state("42P01"), false, true},
		"no schema":             {state("3F000"), false, true},
		"no column":             {state("42703"), false, true},
		"shutting down":         {state("57P01"), true, false},
		"starting":              {state("57P03"), true, false},
		"too many connections":  {state("53300"), true, false},
		"the connection broke":  {state("08006"), true, false},
		"a statement timed out": {state("57014"), false, false},
		"a constraint":          {state("23505"), false, false},
		"not allowed":           {state("42501"), false, false},
		"the caller has gone":   {context.Canceled, false, false},
		"the time is up":        {context.DeadlineExceeded, false, false},
		"nothing":               {nil, false, false},
	} {
		if away, lost := database.Away(c.err), database.Lost(c.err); away != c.away || lost != c.lost {
			t.Errorf("%s: away %v, lost %v", name, away, lost)
		}
	}
}

func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Errorf("not within a minute: %s", what)
			return
		}
	}
}
