package operator_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/muster-id/muster/muster/internal/operator"
	"github.com/muster-id/muster/muster/internal/operator/operatortest"
	"github.com/muster-id/muster/muster/internal/stackfile"
	"github.com/muster-id/muster/platform/reason"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open gives a client that looks every millisecond and is patient for an hour.
func open(t *testing.T, w *operatortest.World) *operator.Client {
	t.Helper()
	client, err := operator.Open(w.Places)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	client.Hurry(time.Millisecond, time.Hour)
	return client
}

func access(t *testing.T, client *operator.Client) *operator.Projection {
	t.Helper()
	found, err := client.Projection(t.Context(), "access")
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// told is a watcher that keeps what it is told.
type told struct {
	progress   []int64
	away, back int
}

func (w *told) Progress(operation *musterv1.Operation) {
	w.progress = append(w.progress, operation.GetEventsDone())
}
func (w *told) Away(error) { w.away++ }
func (w *told) Back()      { w.back++ }

func TestProjectionsOfAllServicesAreListedByName(t *testing.T) {
	t.Parallel()
	all, err := open(t, operatortest.Start(t)).Projections(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, each := range all.GetProjections() {
		names = append(names, each.GetService()+"/"+each.GetName())
	}
	if want := []string{"credentials/access", "identity/avatars", "media/files", "identity/users"}; !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
}

// What other services have is told, and who is missing.
func TestAServiceThatDoesNotAnswerHidesNoOther(t *testing.T) {
	t.Parallel()
	w := operatortest.Start(t)
	w.Services["media"].Fail(reason.New(musterv1.Reason_REASON_UNAVAILABLE))
	w.Places.URLs["credentials"] = "https://127.0.0.1:1" // nobody listens
	client := open(t, w)
	all, err := client.Projections(t.Context())
	if len(all.GetProjections()) != 2 || !slices.Equal(all.GetUnreachable(), []string{"credentials", "media"}) {
		t.Errorf("got %v, unreachable %v", all.GetProjections(), all.GetUnreachable())
	}
	var one *operator.ServiceError
	if !errors.As(err, &one) || !strings.Contains(err.Error(), "credentials does not answer") || !strings.Contains(err.Error(), "media: ") {
		t.Errorf("got %v", err)
	}
	if _, err := client.Projection(t.Context(), "users"); err != nil {
		t.Errorf("one of a service that answers: %v", err)
	}
	// It may be theirs, so that is told too.
	_, err = client.Projection(t.Context(), "access")
	if !errors.Is(err, operator.ErrNoProjection) || !strings.Contains(err.Error(), "credentials does not answer") {
		t.Errorf("one of a service that does not: %v", err)
	}
}

func TestAnUnknownNameIsToldWithThoseThatThereAre(t *testing.T) {
	t.Parallel()
	_, err := open(t, operatortest.Start(t)).Projection(t.Context(), "acces")
	if !errors.Is(err, operator.ErrNoProjection) || !strings.Contains(err.Error(), "access, avatars, files, users") {
		t.Errorf("got %v", err)
	}
}

func TestWatchingEndsWithTheOperation(t *testing.T) {
	t.Parallel()
	w := operatortest.Start(t)
	w.Services["credentials"].Then(operatortest.Reads(1, 3, 2), operatortest.Reads(3, 1, 2), operatortest.Serves)
	projection, seen := access(t, open(t, w)), &told{}
	begun, err := projection.Rebuild(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ended, err := projection.Watch(t.Context(), begun, seen)
	if err != nil {
		t.Fatal(err)
	}
	if ended.GetGeneration() != 2 || !slices.Equal(seen.progress, []int64{1, 3, 3}) {
		t.Errorf("generation %d serves, progress %v", ended.GetGeneration(), seen.progress)
	}
}

// A service may restart while somebody waits for it.
func TestAnOutageIsToldOnceAndWaitedFor(t *testing.T) {
	t.Parallel()
	w := operatortest.Start(t)
	w.Services["credentials"].Then(operatortest.Reads(1, 3, 2), operatortest.Away, operatortest.Away, operatortest.Away, operatortest.Reads(3, 1, 2), operatortest.Serves)
	projection, seen := access(t, open(t, w)), &told{}
	begun, err := projection.Rebuild(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := projection.Watch(t.Context(), begun, seen); err != nil {
		t.Fatal(err)
	}
	if seen.away != 1 || seen.back != 1 {
		t.Errorf("told %d times that it is away, %d times that it is back", seen.away, seen.back)
	}
}

func TestPatienceEnds(t *testing.T) {
	t.Parallel()
	w := operatortest.Start(t)
	client := open(t, w)
	client.Hurry(time.Millisecond, time.Millisecond)
	projection, seen := access(t, client), &told{}
	begun, err := projection.Rebuild(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.Services["credentials"].Fail(reason.New(musterv1.Reason_REASON_UNAVAILABLE))
	if _, err := projection.Watch(t.Context(), begun, seen); reason.Of(err) != musterv1.Reason_REASON_UNAVAILABLE || seen.away != 1 {
		t.Errorf("got %v, told %d times", err, seen.away)
	}
}

// One that refuses us will not think better of it.
func TestARefusalIsNoOutage(t *testing.T) {
	t.Parallel()
	w := operatortest.Start(t)
	projection, seen := access(t, open(t, w)), &told{}
	begun, err := projection.Rebuild(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.Services["credentials"].Fail(reason.New(musterv1.Reason_REASON_PERMISSION_DENIED))
	if _, err := projection.Watch(t.Context(), begun, seen); reason.Of(err) != musterv1.Reason_REASON_PERMISSION_DENIED || seen.away != 0 {
		t.Errorf("got %v, told %d times", err, seen.away)
	}
}

func TestAnotherOperationIsNotTakenForOurs(t *testing.T) {
	t.Parallel()
	w := operatortest.Start(t)
	w.Services["credentials"].Then(func(p *musterv1.Projection) error { p.Operation.Generation = 3; return nil })
	projection := access(t, open(t, w))
	begun, err := projection.Rebuild(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := projection.Watch(t.Context(), begun, &told{}); !errors.Is(err, operator.ErrReplaced) {
		t.Errorf("got %v", err)
	}
}

// Given up means that nothing of it is left, not that this was asked for.
func TestGivingUpWaitsUntilNothingIsLeft(t *testing.T) {
	t.Parallel()
	w := operatortest.Start(t)
	w.Services["credentials"].Then(operatortest.Stays, operatortest.Away)
	projection := access(t, open(t, w))
	begun, err := projection.Rebuild(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	left, err := projection.GiveUp(t.Context(), begun, &told{})
	if err != nil {
		t.Fatal(err)
	}
	if len(left.GetGenerations()) != 1 || left.GetOperation().GetState() != musterv1.OperationState_OPERATION_STATE_CANCELLED {
		t.Errorf("left are %v after %v", left.GetGenerations(), left.GetOperation())
	}
}

func TestWhatEndsBeforeItIsGivenUpStays(t *testing.T) {
	t.Parallel()
	w := operatortest.Start(t)
	projection := access(t, open(t, w))
	begun, err := projection.Rebuild(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.Services["credentials"].Then(operatortest.Serves)
	left, err := projection.GiveUp(t.Context(), begun, &told{})
	if err != nil || left.GetGeneration() != 2 {
		t.Errorf("generation %d serves, %v", left.GetGeneration(), err)
	}
}

func TestTheEndOfAContextEndsTheWaitingAlone(t *testing.T) {
	t.Parallel()
	w := operatortest.Start(t)
	ctx, cancel := context.WithCancel(t.Context())
	w.Services["credentials"].Then(func(*musterv1.Projection) error { cancel(); return nil })
	projection := access(t, open(t, w))
	begun, err := projection.Rebuild(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := projection.Watch(ctx, begun, &told{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if seen, err := projection.Look(t.Context()); err != nil || seen.GetOperation().GetState() != musterv1.OperationState_OPERATION_STATE_RUNNING {
		t.Errorf("it is %v, %v", seen.GetOperation(), err)
	}
}

// parks lets projections have a stream parked.
func parks(w *operatortest.World, service, stream string, projections ...string) {
	for _, projection := range projections {
		w.Services[service].Park(&musterv1.GetParkedEventResponse{Event: &musterv1.ParkedEvent{
			Projection: projection, Service: service, Stream: stream, Version: 3, Waiting: 2,
		}}, nil)
	}
}

func TestAStreamAloneNamesTheOneProjectionThatHasItParked(t *testing.T) {
	t.Parallel()
	w := operatortest.Start(t)
	parks(w, "credentials", "user-1", "access")
	parks(w, "identity", "user-1", "users")
	parks(w, "credentials", "user-2", "access", "access") // in two generations
	client := open(t, w)
	if found, err := client.Parker(t.Context(), "user-2"); err != nil || found.Name() != "access" {
		t.Errorf("parked by one: %v", err)
	}
	if _, err := client.Parker(t.Context(), "user-1"); !errors.Is(err, operator.ErrAmbiguous) || !strings.Contains(err.Error(), "access, users") {
		t.Errorf("parked by two: %v", err)
	}
	if _, err := client.Parker(t.Context(), "user-3"); !errors.Is(err, operator.ErrNotParked) {
		t.Errorf("parked by none: %v", err)
	}
	w.Services["media"].Fail(reason.New(musterv1.Reason_REASON_UNAVAILABLE))
	if _, err := client.Parker(t.Context(), "user-2"); reason.Of(err) != musterv1.Reason_REASON_UNAVAILABLE {
		t.Errorf("parked by one, and perhaps by one that cannot be asked: %v", err)
	}
}

func TestADataDirectoryTellsWhereTheServicesAre(t *testing.T) {
	t.Parallel()
	w := operatortest.Start(t)
	dir := t.TempDir()
	if _, err := operator.At(dir); !errors.Is(err, operator.ErrNothingRuns) || !strings.Contains(err.Error(), dir) {
		t.Errorf("nothing was ever there: %v", err)
	}
	file := stackfile.File{PID: os.Getpid(), Certificates: w.Places.Certificates, Services: map[string]stackfile.Service{}}
	for service, url := range w.Places.URLs {
		file.Services[service] = stackfile.Service{Address: strings.TrimPrefix(url, "https://")}
	}
	if err := stackfile.Write(dir, file); err != nil {
		t.Fatal(err)
	}
	if _, err := operator.At(dir); !errors.Is(err, operator.ErrNothingRuns) {
		t.Errorf("a killed one has left its file: %v", err)
	}
	hold(t, dir)
	places, err := operator.At(dir)
	if err != nil {
		t.Fatal(err)
	}
	client, err := operator.Open(places)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Projections(t.Context()); err != nil {
		t.Error(err)
	}

	file.Certificates = ""
	if err := stackfile.Write(dir, file); err != nil {
		t.Fatal(err)
	}
	if _, err := operator.At(dir); err == nil || !strings.Contains(err.Error(), "older version") {
		t.Errorf("one without a certificate for operators: %v", err)
	}
	if err := stackfile.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := operator.At(dir); err == nil || errors.Is(err, operator.ErrNothingRuns) || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("one that is starting: %v", err)
	}
}

// hold takes the lock of a data directory, as `muster up` does.
func hold(t *testing.T, dir string) {
	t.Helper()
	file, err := os.Create(filepath.Join(dir, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString(strconv.Itoa(os.Getpid())); err != nil {
		t.Fatal(err)
	}
}
