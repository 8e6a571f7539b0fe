package e2e_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/muster/internal/system"
	"github.com/muster-id/muster/platform/certificate"
	"github.com/muster-id/muster/platform/serve"
	eventsv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/events/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/projection/v1/projectionv1connect"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// mortal is credentials as a process of its own that a test may kill.
type mortal struct {
	*world
	t           *testing.T
	pid         int
	environment []string
	child       *exec.Cmd // what we have started ourselves; nil for the system's
	rows        *pgx.Conn
	client      projectionv1connect.ProjectionServiceClient
}

// separately starts a system of a process for each service, without a broker.
func separately(t *testing.T) *mortal {
	t.Helper()
	t.Setenv(mainEnv, "1") // for the services, which are this binary
	dir := t.TempDir()
	with := options(dir)
	with.Separate, with.Broker = true, false
	running, err := system.Start(t.Context(), with)
	if err != nil {
		t.Fatal(err)
	}
	m := &mortal{world: &world{System: running, url: running.URL, dir: dir}, t: t, pid: running.PIDs["credentials"]}
	t.Cleanup(func() {
		_ = running.Stop() // one of its services is gone
		if m.child != nil {
			_ = m.child.Process.Kill()
			_ = m.child.Wait()
		}
	})
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", m.pid))
	if err != nil {
		t.Fatal(err)
	}
	m.environment = strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00")
	m.rows = m.administers(t, "credentials")
	self, err := certificate.Load(m.Certificates, "operator")
	if err != nil {
		t.Fatal(err)
	}
	address := "https://" + m.Services["credentials"]
	client := serve.InternalClient(self, "credentials", address)
	t.Cleanup(client.CloseIdleConnections)
	m.client = projectionv1connect.NewProjectionServiceClient(client, address, serve.ClientInterceptors())
	return m
}

// kill kills it with -9 and waits until it is gone.
func (m *mortal) kill() {
	m.t.Helper()
	if err := syscall.Kill(m.pid, syscall.SIGKILL); err != nil {
		m.t.Fatal(err)
	}
	if m.child != nil {
		_ = m.child.Wait()
		m.child = nil
		return
	}
	gone(m.t, []int{m.pid})
}

// rises starts it anew. Its predecessor's lease on a generation ends now instead
// of in ten seconds.
func (m *mortal) rises() {
	m.t.Helper()
	binary, err := os.Executable()
	if err != nil {
		m.t.Fatal(err)
	}
	m.child = exec.Command(binary, "serve", "credentials")
	m.child.Env = m.environment
	if err := m.child.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.pid = m.child.Process.Pid
	if _, err := m.rows.Exec(m.t.Context(), `UPDATE read.generations SET leased_until = now()`); err != nil {
		m.t.Fatal(err)
	}
}

func (m *mortal) ask(what string, ask func() error) {
	m.t.Helper()
	eventually(m.t, startBound, what, func() bool {
		err := ask()
		var refused *connect.Error
		if err != nil && (!errors.As(err, &refused) || refused.Code() != connect.CodeUnavailable) {
			m.t.Fatalf("%s: %v", what, err)
		}
		return err == nil
	})
}

func (m *mortal) rebuild() {
	m.t.Helper()
	m.ask("begin a rebuild", func() error {
		_, err := m.client.RebuildProjection(m.t.Context(), connect.NewRequest(&musterv1.RebuildProjectionRequest{Name: "access"}))
		return err
	})
}

// one gives what a query counts.
func (m *mortal) one(query string) (n int64) {
	m.t.Helper()
	if err := m.rows.QueryRow(m.t.Context(), query).Scan(&n); err != nil {
		m.t.Fatal(err)
	}
	return n
}

// running counts operations that are not over: 0 or 1.
func (m *mortal) running() int64 {
	m.t.Helper()
	return m.one(`SELECT count(*) FROM read.operations WHERE state = 'running'`)
}

// waits until a statement of credentials waits for a lock of ours.
func (m *mortal) waits(statement string) {
	m.t.Helper()
	eventually(m.t, time.Minute, statement+" waits", func() bool {
		return m.one(`SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database() AND query LIKE '%`+statement+`%'`) > 0
	})
}

// held begins a transaction that holds what the statement locks.
func (m *mortal) held(statement string) (letGo func()) {
	m.t.Helper()
	conn := m.administers(m.t, "credentials")
	tx, err := conn.Begin(m.t.Context())
	if err != nil {
		m.t.Fatal(err)
	}
	if _, err := tx.Exec(m.t.Context(), statement); err != nil {
		m.t.Fatal(err)
	}
	return func() {
		m.t.Helper()
		if err := tx.Rollback(m.t.Context()); err != nil {
			m.t.Fatal(err)
		}
	}
}

// isWhole waits until the operation is done by whoever has taken it over.
func (m *mortal) isWhole(what string) {
	m.t.Helper()
	eventually(m.t, startBound, what+": the rebuild ends", func() bool { return m.running() == 0 })
	if done := m.one(`SELECT count(*) FROM read.operations WHERE state = 'done'`); done != 1 {
		m.t.Errorf("%s: the rebuild is not done", what)
	}
	eventually(m.t, startBound, what+": nothing else is left", func() bool {
		return m.one(`SELECT count(*) FROM read.generations WHERE state NOT IN ('serving', 'former')`) == 0 &&
			m.one(`SELECT count(*) FROM (SELECT generation FROM read.access EXCEPT SELECT generation FROM read.generations) AS orphans`) == 0
	})
}

// Killed with -9 at moments of a rebuild, at the swap and while former rows are
// deleted, credentials goes on when it is started again, and the rows are those
// of a plain fold.
func TestARebuildOutlivesItsProcess(t *testing.T) {
	m := separately(t)
	// So many that the log is read in several pieces.
	const people = 8000
	var crowd []eventstore.Draft
	for n := range people {
		id, name := uuid.NewString(), fmt.Sprintf("crowd-%d", n)
		crowd = append(crowd,
			draft(id, 1, &eventsv1.UserRegistered{UserId: id, Username: name, Email: name + "@example.org"}),
			draft(id, 2, &eventsv1.RolesChanged{UserId: id, Roles: []string{"auditor"}}))
	}
	scribe := m.writes(t)
	scribe.appends(t, scribe.sealsAll(t, crowd))
	eventually(t, 3*time.Minute, "everybody is in the rows", func() bool {
		return m.one(`SELECT count(*) FROM read.access JOIN read.projections USING (generation) WHERE name = 'access'`) == people+1 // and the first admin
	})
	ada := m.joins(t, "ada-outlives") // behind so many, she would not be let in at once

	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	moment := rand.New(rand.NewPCG(seed, 0))
	for range 2 {
		after := moment.Int64N(2 * people)
		m.rebuild()
		// No tick: it is over soon.
		for m.one(`SELECT events_done FROM read.operations`) < after && m.running() == 1 {
		}
		m.kill()
		what := fmt.Sprintf("killed after %d events, of an operation that ran: %d", m.one(`SELECT events_done FROM read.operations`), m.running())
		t.Log(what)
		m.rises()
		m.isWhole(what)
	}

	// In the transaction of the swap, which has moved the pointer already.
	serving := m.one(`SELECT generation FROM read.projections WHERE name = 'access'`)
	letSwap := m.held(`SELECT generation FROM read.projections WHERE name = 'access' FOR SHARE`)
	m.rebuild()
	m.waits("FROM read.projections WHERE name = $1 FOR UPDATE")
	letEnd := m.held(`SELECT projection FROM read.operations FOR UPDATE`)
	letSwap()
	m.waits("SET state = $3, finished_at = now()")
	m.kill()
	letEnd()
	if now := m.one(`SELECT generation FROM read.projections WHERE name = 'access'`); now != serving || m.running() != 1 {
		t.Errorf("half of a swap is left: generation %d, and before %d", now, serving)
	}
	m.rises()
	m.isWhole("killed at the swap")
	if now := m.one(`SELECT generation FROM read.projections WHERE name = 'access'`); now == serving {
		t.Error("the new rows do not serve")
	}

	// While the former rows are deleted.
	letDelete := m.held(`LOCK TABLE read.access IN SHARE MODE`)
	m.ask("drop the former rows", func() error {
		_, err := m.client.DropGeneration(t.Context(), connect.NewRequest(&musterv1.DropGenerationRequest{Name: "access"}))
		return err
	})
	m.waits("WHERE ctid = ANY (ARRAY(SELECT t.ctid")
	m.kill()
	letDelete()
	m.rises()
	m.isWhole("killed while it deletes")
	if left := m.one(`SELECT count(DISTINCT generation) FROM read.access`); left != 1 {
		t.Errorf("rows of %d generations", left)
	}

	m.says(t, "projection", "verify", "access").is(t, 0, "no row differs")
	m.signsIn(t, ada.person)
	m.joins(t, "bob-afterwards")
}
