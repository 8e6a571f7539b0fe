package operator_test

import (
	"context"
	"errors"
	"fmt"
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
	"google.golang.org/protobuf/types/known/timestamppb"

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
	again      []int64 // the generations
	away, back int
}

func (w *told) Progress(operation *musterv1.Operation) {
	w.progress = append(w.progress, operation.GetEventsDone())
}
func (w *told) Again(operation *musterv1.Operation) {
	w.again = append(w.again, operation.GetGeneration())
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
	// It may be theirs, so that is told first.
	_, err = client.Projection(t.Context(), "access")
	if !errors.Is(err, operator.ErrNoProjection) || !strings.HasPrefix(err.Error(), "credentials does not answer") || !strings.HasSuffix(err.Error(), "they have avatars, users") {
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
	w.Services["credentials"].Then(func(p *musterv1.Projection) error {
		p.Operation.StartedAt = timestamppb.New(operatortest.Begun().Add(time.Microsecond)) // as exactly as a database keeps it
		return nil
	})
	projection := access(t, open(t, w))
	begun, err := projection.Rebuild(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := projection.Watch(t.Context(), begun, &told{}); !errors.Is(err, operator.ErrReplaced) {
		t.Errorf("got %v", err)
	}
}

// A crash of PostgreSQL makes an operation begin with the first event again.
func TestAnOperationThatStartsOverIsFollowedToItsEnd(t *testing.T) {
	t.Parallel()
	w := operatortest.Start(t)
	w.Services["credentials"].Then(operatortest.Reads(8, 1, 2), operatortest.Away, operatortest.StartsOver, operatortest.Reads(2, 7, 2), operatortest.Serves)
	projection, seen := access(t, open(t, w)), &told{}
	begun, err := projection.Rebuild(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ended, err := projection.Watch(t.Context(), begun, seen)
	if err != nil {
		t.Fatal(err)
	}
	if ended.GetGeneration() != 3 || ended.GetOperation().GetState() != musterv1.OperationState_OPERATION_STATE_DONE {
		t.Errorf("generation %d serves after %v", ended.GetGeneration(), ended.GetOperation())
	}
	if !slices.Equal(seen.progress, []int64{8, 0, 2, 2}) || !slices.Equal(seen.again, []int64{3}) || seen.back != 1 {
		t.Errorf("progress %v, told of generations %v, back %d times", seen.progress, seen.again, seen.back)
	}
}

// What has to be gone is what it makes by then, not what it began with.
func TestGivingUpWhatHasStartedOverWaitsForItsNewGeneration(t *testing.T) {
	t.Parallel()
	for name, over := range map[string][]operatortest.Step{
		"before it is asked": {operatortest.StartsOver},
		"after that":         {operatortest.Stays, forgets},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := operatortest.Start(t)
			w.Services["credentials"].Then(over...)
			projection := access(t, open(t, w))
			begun, err := projection.Rebuild(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			left, err := projection.GiveUp(t.Context(), begun, &told{})
			if err != nil {
				t.Fatal(err)
			}
			if len(left.GetGenerations()) != 1 || left.GetOperation().GetGeneration() != 3 || left.GetOperation().GetState() != musterv1.OperationState_OPERATION_STATE_CANCELLED {
				t.Errorf("left are %v after %v", left.GetGenerations(), left.GetOperation())
			}
		})
	}
}

// forgets starts over, and with it goes that the operation was to end: the crash
// came before that was on disk.
func forgets(p *musterv1.Projection) error {
	p.Operation.State = musterv1.OperationState_OPERATION_STATE_RUNNING
	p.Generations[1].State = musterv1.GenerationState_GENERATION_STATE_BUILDING
	return operatortest.StartsOver(p)
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
	parks(w, "credentials", "user-2", "access")
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
	for i := range 1000 {
		parks(w, "media", fmt.Sprintf("file-%d", i), "files")
	}
	if _, err := client.Parker(t.Context(), "user-3"); err == nil || errors.Is(err, operator.ErrNotParked) || !strings.Contains(err.Error(), "projection before it") {
		t.Errorf("parked by one whose list is full, perhaps: %v", err)
	}
	w.Services["media"].Fail(reason.New(musterv1.Reason_REASON_UNAVAILABLE))
	if _, err := client.Parker(t.Context(), "user-2"); reason.Of(err) != musterv1.Reason_REASON_UNAVAILABLE {
		t.Errorf("parked by one, and perhaps by one that cannot be asked: %v", err)
	}
}

func TestWhatWasLeftOutIsListedTheLastFirst(t *testing.T) {
	t.Parallel()
	w := operatortest.Start(t)
	parks(w, "credentials", "user-1", "access")
	parks(w, "credentials", "user-2", "access")
	parks(w, "identity", "user-3", "users")
	client := open(t, w)
	for _, each := range [][2]string{{"access", "user-1"}, {"access", "user-2"}, {"users", "user-3"}} {
		of, err := client.Projection(t.Context(), each[0])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := of.Skip(t.Context(), each[1], 3, "ticket 4711"); err != nil {
			t.Fatal(err)
		}
	}
	for projection, want := range map[string][]string{"": {"user-2", "user-3", "user-1"}, "access": {"user-2", "user-1"}, "files": nil} {
		listed, err := client.SkippedEvents(t.Context(), projection)
		if err != nil {
			t.Fatal(err)
		}
		var streams []string
		for _, event := range listed.GetEvents() {
			streams = append(streams, event.GetStream())
		}
		if !slices.Equal(streams, want) {
			t.Errorf("%q: got %v, want %v", projection, streams, want)
		}
	}
	if listed, err := client.SkippedEvents(t.Context(), "acces"); !errors.Is(err, operator.ErrNoProjection) || listed != nil {
		t.Errorf("of none: %v, %v", listed, err)
	}
	w.Services["media"].Fail(reason.New(musterv1.Reason_REASON_UNAVAILABLE))
	if listed, err := client.SkippedEvents(t.Context(), ""); err == nil || len(listed.GetEvents()) != 3 || !slices.Equal(listed.GetUnreachable(), []string{"media"}) {
		t.Errorf("where one is away: %v, %v", listed, err)
	}
}

// So that nobody deletes another generation than the one that was looked at.
func TestOnlyTheGenerationThatIsMeantIsTouched(t *testing.T) {
	t.Parallel()
	w := operatortest.Start(t)
	w.Services["credentials"].Then(operatortest.Serves)
	projection := access(t, open(t, w))
	begun, err := projection.Rebuild(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := projection.Watch(t.Context(), begun, &told{}); err != nil {
		t.Fatal(err)
	}
	if _, err := projection.Rollback(t.Context(), 2); reason.Of(err) != musterv1.Reason_REASON_NO_FORMER_GENERATION {
		t.Errorf("another one serves: %v", err)
	}
	if answer, err := projection.Rollback(t.Context(), 1); err != nil || answer.GetGeneration() != 1 {
		t.Errorf("generation %d serves, %v", answer.GetGeneration(), err)
	}
	if _, err := projection.Drop(t.Context(), 1); reason.Of(err) != musterv1.Reason_REASON_NO_FORMER_GENERATION {
		t.Errorf("what serves is deleted: %v", err)
	}
	if answer, err := projection.Drop(t.Context(), 0); err != nil || answer.GetGeneration() != 2 {
		t.Errorf("generation %d is deleted, %v", answer.GetGeneration(), err)
	}
}

// A command line's user has no CancelOperation to call.
func TestARefusalTellsTheNextCommand(t *testing.T) {
	t.Parallel()
	w := operatortest.Start(t)
	projection := access(t, open(t, w))
	for refused, want := range map[musterv1.Reason]string{
		musterv1.Reason_REASON_OPERATION_UNDER_WAY:  "`muster projection cancel NAME`",
		musterv1.Reason_REASON_NOTHING_UNDER_WAY:    "`muster projection list`",
		musterv1.Reason_REASON_NO_FORMER_GENERATION: "`muster projection list`",
		musterv1.Reason_REASON_NOT_CAUGHT_UP:        "`muster projection list`",
		musterv1.Reason_REASON_NOT_FOUND:            "`muster projection list`",
	} {
		w.Services["credentials"].Fail(reason.New(refused))
		if _, err := projection.Rebuild(t.Context()); !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not tell of %s", err, want)
		}
	}
	w.Services["credentials"].Fail(errors.New("a fault"))
	if _, err := projection.Rebuild(t.Context()); !strings.Contains(err.Error(), "under request id 0") {
		t.Errorf("a fault cannot be found in the log: %v", err)
	}
	w.Services["credentials"].Fail(nil)
	if _, err := projection.Retry(t.Context(), "user-1"); !strings.Contains(err.Error(), "`muster parked list`") {
		t.Error(err)
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
