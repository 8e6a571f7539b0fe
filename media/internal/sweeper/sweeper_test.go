package sweeper_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/muster-id/muster/media/internal/object"
	"github.com/muster-id/muster/media/internal/store"
	"github.com/muster-id/muster/media/internal/sweeper"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var discard = slog.New(slog.DiscardHandler)

// stage is all that a sweeper works with.
type stage struct {
	mu       sync.Mutex
	due      []store.Due
	verdicts []store.Verdict
	deleted  []object.Ref
	tries    int
	fault    error
	// keeps and doubts are what the log says of an object, or cannot say.
	keeps, doubts map[uuid.UUID]bool
	swept         chan struct{}
}

func (s *stage) Sweep(ctx context.Context, limit int, judge func(context.Context, []store.Due) []store.Verdict) (int, error) {
	batch := s.due[:min(limit, len(s.due))]
	s.due = s.due[len(batch):]
	if len(batch) > 0 {
		s.verdicts = append(s.verdicts, judge(ctx, batch)...)
	}
	select {
	case s.swept <- struct{}{}:
	default:
	}
	return len(batch), nil
}

func (s *stage) Delete(_ context.Context, ref object.Ref) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tries++
	if s.fault != nil {
		return s.fault
	}
	s.deleted = append(s.deleted, ref)
	return nil
}

func (s *stage) Keeps(_ context.Context, ref object.Ref) (bool, error) {
	if s.doubts[ref.ID] {
		return false, errors.New("nobody can tell")
	}
	return s.keeps[ref.ID], nil
}

func (*stage) DeleteStrays(context.Context) (int, error) { return 0, nil }

func (s *stage) add(kind object.Kind, doomed bool) uuid.UUID {
	id := uuid.New()
	s.due = append(s.due, store.Due{Ref: object.Ref{Kind: kind, Owner: uuid.New(), ID: id}, Doomed: doomed})
	return id
}

func newStage() (*stage, *sweeper.Sweeper) {
	s := &stage{keeps: map[uuid.UUID]bool{}, doubts: map[uuid.UUID]bool{}, swept: make(chan struct{}, 1)}
	return s, sweeper.New(s, s, s, s, discard)
}

func TestTheLogIsAskedOfWhatIsNotDoomed(t *testing.T) {
	t.Parallel()
	stage, s := newStage()
	doomed, lost := stage.add(object.File, true), stage.add(object.File, false)
	kept, doubtful := stage.add(object.Avatar, false), stage.add(object.Avatar, false)
	upload := stage.add(object.Upload, false)
	for _, id := range []uuid.UUID{doomed, kept, upload} {
		stage.keeps[id] = true
	}
	stage.doubts[doubtful] = true
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := []store.Verdict{store.Deleted, store.Deleted, store.Later, store.Unclear, store.Deleted}; !slices.Equal(stage.verdicts, want) {
		t.Errorf("verdicts %v, want %v", stage.verdicts, want)
	}
	for _, ref := range stage.deleted {
		if !slices.Contains([]uuid.UUID{doomed, lost, upload}, ref.ID) {
			t.Errorf("%v was deleted", ref)
		}
	}
	if stats := s.Stats(); stats.Deleted != 3 || stats.Kept != 1 || stats.Failed != 1 {
		t.Errorf("stats %+v", stats)
	}
}

// A storage that is away is not asked for each object of a long list.
func TestAStorageThatFailsIsLeftAlone(t *testing.T) {
	t.Parallel()
	stage, s := newStage()
	for range 200 {
		stage.add(object.File, true)
	}
	stage.fault = object.ErrUnavailable
	if err := s.Sweep(t.Context()); !errors.Is(err, object.ErrUnavailable) {
		t.Errorf("%v, want ErrUnavailable", err)
	}
	if stage.tries > 20 {
		t.Errorf("it was tried %d times", stage.tries)
	}
	if slices.ContainsFunc(stage.verdicts, func(v store.Verdict) bool { return v != store.Undone }) {
		t.Errorf("verdicts %v", stage.verdicts)
	}
}

func TestAllThatIsDueIsSweptInBatches(t *testing.T) {
	t.Parallel()
	stage, s := newStage()
	for range 200 {
		stage.add(object.Avatar, true)
	}
	if err := s.Sweep(t.Context()); err != nil || len(stage.deleted) != 200 {
		t.Errorf("%d deleted, %v", len(stage.deleted), err)
	}
}

func TestTheSweeperEndsWhenToldTo(t *testing.T) {
	t.Parallel()
	stage, s := newStage()
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	go func() {
		<-stage.swept
		<-stage.swept // it comes back by itself
		stop()
	}()
	if err := s.Run(ctx); err != nil || errors.Is(ctx.Err(), context.DeadlineExceeded) {
		t.Errorf("%v, %v", err, ctx.Err())
	}
}
