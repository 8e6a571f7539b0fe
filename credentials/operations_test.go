package credentials_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/muster-id/muster/platform/access"
	"github.com/muster-id/muster/platform/certificate"
	"github.com/muster-id/muster/platform/reason"
	"github.com/muster-id/muster/platform/serve"
	"github.com/muster-id/muster/proto/gen/go/muster/credentials/v1/credentialsv1connect"
	eventsv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/events/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/projection/v1/projectionv1connect"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

const (
	running   = musterv1.OperationState_OPERATION_STATE_RUNNING
	done      = musterv1.OperationState_OPERATION_STATE_DONE
	cancelled = musterv1.OperationState_OPERATION_STATE_CANCELLED
)

// operator works on the projection of a credentials service over RPC, and looks
// at its database.
type operator struct {
	t      *testing.T
	client projectionv1connect.ProjectionServiceClient
	people credentialsv1connect.CredentialsServiceClient
	rows   *pgx.Conn
}

// operates starts credentials with some people, and an operator.
func (w *world) operates(t *testing.T, people int) *operator {
	t.Helper()
	address, _ := w.start(t)
	o := &operator{t: t, client: w.projections(t, "operator", address), people: w.client(t, "gateway", address)}
	var err error
	if o.rows, err = pgx.Connect(t.Context(), w.config.DatabaseOwnerURL.Reveal()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.rows.Close(context.WithoutCancel(t.Context())) })
	for i := range people {
		_, position := w.register(t, fmt.Sprintf("person%d", i))
		if i == people-1 {
			if _, err := login(t.Context(), o.people, fmt.Sprintf("person%d", i), rightPassword, position); err != nil {
				t.Fatal(err)
			}
		}
	}
	return o
}

// projections is a client of one of those that may work on projections, or not.
func (w *world) projections(t *testing.T, as, address string) projectionv1connect.ProjectionServiceClient {
	t.Helper()
	self, err := certificate.Load(w.config.Certificates, as)
	if err != nil {
		t.Fatal(err)
	}
	client := serve.InternalClient(self, "credentials", "https://"+address)
	t.Cleanup(client.CloseIdleConnections)
	return projectionv1connect.NewProjectionServiceClient(client, "https://"+address, serve.ClientInterceptors())
}

// look gives the projection as it is listed.
func (o *operator) look() *musterv1.Projection {
	o.t.Helper()
	listed, err := o.client.ListProjections(o.t.Context(), connect.NewRequest(&musterv1.ListProjectionsRequest{}))
	if err != nil {
		o.t.Fatal(err)
	}
	if len(listed.Msg.GetProjections()) != 1 {
		o.t.Fatalf("listed %v", listed.Msg)
	}
	return listed.Msg.GetProjections()[0]
}

// until looks again and again until the projection is as it has to be.
func (o *operator) until(what string, is func(*musterv1.Projection) bool) *musterv1.Projection {
	o.t.Helper()
	patience := time.NewTimer(time.Minute)
	defer patience.Stop()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		seen := o.look()
		if is(seen) {
			return seen
		}
		select {
		case <-again.C:
		case <-patience.C:
			o.t.Fatalf("until %s: still %v", what, seen)
		}
	}
}

// ended waits for the end of the last operation.
func (o *operator) ended(what string) *musterv1.Operation {
	o.t.Helper()
	seen := o.until(what+" has ended", func(p *musterv1.Projection) bool { return p.GetOperation().GetState() != running })
	if state := seen.GetOperation().GetState(); state != done {
		o.t.Fatalf("%s: %v", what, seen.GetOperation())
	}
	return seen.GetOperation()
}

func (o *operator) rebuild() *musterv1.Operation {
	o.t.Helper()
	begun, err := o.client.RebuildProjection(o.t.Context(), connect.NewRequest(&musterv1.RebuildProjectionRequest{Name: "access"}))
	if err != nil {
		o.t.Fatal(err)
	}
	return begun.Msg.GetOperation()
}

// verify verifies, and gives what was found.
func (o *operator) verify() *musterv1.Verification {
	o.t.Helper()
	if _, err := o.client.VerifyProjection(o.t.Context(), connect.NewRequest(&musterv1.VerifyProjectionRequest{Name: "access"})); err != nil {
		o.t.Fatal(err)
	}
	return o.ended("the verification").GetVerification()
}

// others counts the rows of other generations than these.
func (o *operator) others(generations ...int64) int {
	o.t.Helper()
	var n int
	if err := o.rows.QueryRow(o.t.Context(), `SELECT count(*) FROM read.access WHERE generation <> ALL ($1)`, generations).Scan(&n); err != nil {
		o.t.Fatal(err)
	}
	return n
}

// held keeps rows from being written until it is let go.
func (o *operator) held() (letGo func()) {
	o.t.Helper()
	tx, err := o.rows.Begin(o.t.Context())
	if err != nil {
		o.t.Fatal(err)
	}
	if _, err := tx.Exec(o.t.Context(), `LOCK TABLE read.access IN SHARE MODE`); err != nil {
		o.t.Fatal(err)
	}
	return func() {
		if err := tx.Rollback(o.t.Context()); err != nil {
			o.t.Fatal(err)
		}
	}
}

func (o *operator) signsIn(name string) {
	o.t.Helper()
	if _, err := login(o.t.Context(), o.people, name, rightPassword, nil); err != nil {
		o.t.Errorf("login of %s: %v", name, err)
	}
}

// generations are the numbers by their states.
func generations(p *musterv1.Projection) map[musterv1.GenerationState]int64 {
	found := make(map[musterv1.GenerationState]int64)
	for _, generation := range p.GetGenerations() {
		found[generation.GetState()] = generation.GetNumber()
	}
	return found
}

func only(want map[musterv1.GenerationState]int64) func(*musterv1.Projection) bool {
	return func(p *musterv1.Projection) bool {
		found := generations(p)
		for state, number := range want {
			if found[state] != number {
				return false
			}
		}
		return len(found) == len(want)
	}
}

const (
	serving = musterv1.GenerationState_GENERATION_STATE_SERVING
	former  = musterv1.GenerationState_GENERATION_STATE_FORMER
)

// From the list to a rebuild, back, and to the end of the former rows.
func TestAProjectionIsRebuiltRolledBackAndDroppedOverRPC(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := w.operates(t, 20)
	first := o.look()
	if first.GetName() != "access" || first.GetService() != "credentials" || first.GetLog() != "identity" || first.GetGeneration() != 1 ||
		first.GetState() != musterv1.ProjectionState_PROJECTION_STATE_LIVE || first.GetOperation() != nil || !only(map[musterv1.GenerationState]int64{serving: 1})(first) {
		t.Errorf("at first: %v", first)
	}
	begun := o.rebuild()
	if begun.GetKind() != musterv1.OperationKind_OPERATION_KIND_REBUILD || begun.GetGeneration() != 2 || begun.GetState() != running || begun.GetStartedBy() != "service-operator" {
		t.Errorf("begun: %v", begun)
	}
	if ended := o.ended("the rebuild"); ended.GetEventsDone() < 40 || ended.GetEventsLeft() != 0 || ended.GetFinishedAt() == nil {
		t.Errorf("ended: %v", ended)
	}
	if seen := o.look(); seen.GetGeneration() != 2 || !only(map[musterv1.GenerationState]int64{serving: 2, former: 1})(seen) {
		t.Errorf("rebuilt: %v", seen)
	}
	o.signsIn("person0")

	_, position := w.register(t, "meanwhile")
	if _, err := login(t.Context(), o.people, "meanwhile", rightPassword, position); err != nil {
		t.Fatal(err)
	}
	back, err := o.client.RollbackProjection(t.Context(), connect.NewRequest(&musterv1.RollbackProjectionRequest{Name: "access"}))
	if err != nil || back.Msg.GetGeneration() != 1 {
		t.Fatalf("RollbackProjection = %v, %v", back, err)
	}
	if seen := o.look(); !only(map[musterv1.GenerationState]int64{serving: 1, former: 2})(seen) {
		t.Errorf("rolled back: %v", seen)
	}
	o.signsIn("person0")
	o.signsIn("meanwhile") // the former rows were kept up to date

	dropped, err := o.client.DropGeneration(t.Context(), connect.NewRequest(&musterv1.DropGenerationRequest{Name: "access"}))
	if err != nil || dropped.Msg.GetGeneration() != 2 {
		t.Fatalf("DropGeneration = %v, %v", dropped, err)
	}
	o.until("the former rows are gone", only(map[musterv1.GenerationState]int64{serving: 1}))
	if n := o.others(1); n > 0 {
		t.Errorf("%d former rows are left", n)
	}
	_, err = o.client.RollbackProjection(t.Context(), connect.NewRequest(&musterv1.RollbackProjectionRequest{Name: "access"}))
	wantReason(t, "to roll back to nothing", err, musterv1.Reason_REASON_NO_FORMER_GENERATION)
	_, err = o.client.DropGeneration(t.Context(), connect.NewRequest(&musterv1.DropGenerationRequest{Name: "access"}))
	wantReason(t, "to drop nothing", err, musterv1.Reason_REASON_NO_FORMER_GENERATION)
	o.signsIn("person19")
}

func TestASecondOperationIsRefusedWithTheNameOfTheFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := w.operates(t, 3)
	letGo := o.held()
	o.rebuild()
	_, again := o.client.RebuildProjection(t.Context(), connect.NewRequest(&musterv1.RebuildProjectionRequest{Name: "access"}))
	_, verified := o.client.VerifyProjection(t.Context(), connect.NewRequest(&musterv1.VerifyProjectionRequest{Name: "access"}))
	for what, err := range map[string]error{"another rebuild": again, "a verification": verified} {
		wantReason(t, what, err, musterv1.Reason_REASON_OPERATION_UNDER_WAY)
		if err == nil || !strings.Contains(err.Error(), "access into generation 2") {
			t.Errorf("%s: %v does not name the first", what, err)
		}
	}
	o.signsIn("person0")
	letGo()
	if ended := o.ended("the rebuild"); ended.GetGeneration() != 2 {
		t.Errorf("got %v", ended)
	}
}

func TestWhatIsCancelledLeavesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := w.operates(t, 3)
	_, err := o.client.CancelOperation(t.Context(), connect.NewRequest(&musterv1.CancelOperationRequest{Name: "access"}))
	wantReason(t, "to cancel nothing", err, musterv1.Reason_REASON_NOTHING_UNDER_WAY)
	letGo := o.held()
	o.rebuild()
	if _, err := o.client.CancelOperation(t.Context(), connect.NewRequest(&musterv1.CancelOperationRequest{Name: "access"})); err != nil {
		t.Fatal(err)
	}
	letGo()
	seen := o.until("what was begun is gone", only(map[musterv1.GenerationState]int64{serving: 1}))
	if seen.GetOperation().GetState() != cancelled || seen.GetOperation().GetFinishedAt() == nil {
		t.Errorf("got %v", seen.GetOperation())
	}
	if n := o.others(1); n > 0 {
		t.Errorf("%d rows are left", n)
	}
	o.signsIn("person0")
	o.rebuild() // nothing stands in the way of the next one
	o.ended("the next rebuild")
}

func TestARowChangedByHandIsFoundAndMended(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := w.operates(t, 5)
	if found := o.verify(); found.GetRows() != 5 || found.GetDiffering() != 0 {
		t.Fatalf("nobody changed anything: %v", found)
	}
	var id uuid.UUID
	if err := o.rows.QueryRow(t.Context(),
		`UPDATE read.access SET roles = '{admin}', email = 'canary@example.org' WHERE generation = 1 AND username = 'person2' RETURNING user_id`).Scan(&id); err != nil {
		t.Fatal(err)
	}
	if _, err := o.rows.Exec(t.Context(), `DELETE FROM read.access WHERE generation = 1 AND username = 'person3'`); err != nil {
		t.Fatal(err)
	}
	found := o.verify()
	if found.GetDiffering() != 2 || len(found.GetDifferences()) != 2 {
		t.Fatalf("found %v", found)
	}
	for _, difference := range found.GetDifferences() {
		if difference.GetTable() != "read.access" {
			t.Errorf("found %v", difference)
		}
		if difference.GetKind() != musterv1.DifferenceKind_DIFFERENCE_KIND_CHANGED {
			if difference.GetKind() != musterv1.DifferenceKind_DIFFERENCE_KIND_MISSING {
				t.Errorf("found %v", difference)
			}
			continue
		}
		if !strings.Contains(difference.GetKey(), id.String()) {
			t.Errorf("the key is %s", difference.GetKey())
		}
		values := make(map[string]string)
		for _, column := range difference.GetColumns() {
			values[column.GetColumn()] = column.GetServing() + " " + column.GetRebuilt()
		}
		if len(values) != 2 || !strings.Contains(values["roles"], "admin") || values["email"] != "[redacted] [redacted]" {
			t.Errorf("the columns are %v", values)
		}
	}
	if strings.Contains(found.String(), "canary") {
		t.Error("the report holds an address")
	}
	o.until("what the verification made is gone", only(map[musterv1.GenerationState]int64{serving: 1}))
	if n := o.others(1); n > 0 {
		t.Errorf("%d rows of the verification are left", n)
	}
	o.rebuild()
	o.ended("the rebuild")
	if found := o.verify(); found.GetRows() != 5 || found.GetDiffering() != 0 {
		t.Errorf("it is not mended: %v", found)
	}
	o.signsIn("person3")
}

// The gateway works on projections for people alone, whose roles count here too;
// the operator's certificate is enough by itself.
func TestWhoMayWorkOnProjections(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	address, _ := w.start(t)
	people := w.client(t, "gateway", address)
	list := func(ctx context.Context, as string) error {
		_, err := w.projections(t, as, address).ListProjections(ctx, connect.NewRequest(&musterv1.ListProjectionsRequest{}))
		return err
	}
	rebuild := func(ctx context.Context, as string) (string, error) {
		begun, err := w.projections(t, as, address).RebuildProjection(ctx, connect.NewRequest(&musterv1.RebuildProjectionRequest{Name: "access"}))
		if err != nil {
			return "", err
		}
		return begun.Msg.GetOperation().GetStartedBy(), nil
	}
	alone := t.Context
	signedIn := func(name string, roles ...string) (uuid.UUID, func() context.Context) {
		id, _ := w.register(t, name)
		position := w.append(t, id, 2, &eventsv1.RolesChanged{UserId: id.String(), Roles: roles})
		opened, err := login(t.Context(), people, name, rightPassword, position)
		if err != nil {
			t.Fatal(err)
		}
		return id, func() context.Context { return asPerson(t, opened.GetTokens().GetAccessToken()) }
	}
	_, nobody := signedIn("ada")
	_, auditor := signedIn("bob", access.Auditor)
	adminID, admin := signedIn("eve", access.Admin)
	for what, c := range map[string]struct {
		person      func() context.Context
		as          string
		look, begin musterv1.Reason
		by          string
	}{
		"another service":       {admin, "media", musterv1.Reason_REASON_PERMISSION_DENIED, musterv1.Reason_REASON_PERMISSION_DENIED, ""},
		"the gateway alone":     {alone, "gateway", musterv1.Reason_REASON_UNAUTHENTICATED, musterv1.Reason_REASON_UNAUTHENTICATED, ""},
		"a person without role": {nobody, "gateway", musterv1.Reason_REASON_PERMISSION_DENIED, musterv1.Reason_REASON_PERMISSION_DENIED, ""},
		"an auditor":            {auditor, "gateway", 0, musterv1.Reason_REASON_PERMISSION_DENIED, ""},
		"an admin":              {admin, "gateway", 0, 0, "user-" + adminID.String()},
	} {
		wantReason(t, what+" looks", list(c.person(), c.as), c.look)
		by, err := rebuild(c.person(), c.as)
		wantReason(t, what+" rebuilds", err, c.begin)
		if by != c.by {
			t.Errorf("%s is recorded as %q", what, by)
		}
	}
	wantReason(t, "the operator looks", list(t.Context(), "operator"), 0)
	if _, err := rebuild(t.Context(), "operator"); err != nil {
		wantReason(t, "the operator rebuilds while the admin's is under way", err, musterv1.Reason_REASON_OPERATION_UNDER_WAY)
	}
	_, err := w.projections(t, "operator", address).RebuildProjection(t.Context(), connect.NewRequest(&musterv1.RebuildProjectionRequest{Name: "users"}))
	wantReason(t, "a projection of another service", err, musterv1.Reason_REASON_NOT_FOUND)
	if detail, _ := reason.DetailOf(err); detail.GetField() != "name" {
		t.Errorf("by the field %q the gateway knows that another service may have it", detail.GetField())
	}
}
