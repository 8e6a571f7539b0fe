package password

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/muster-id/muster/platform/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cheap costs, for tests that are not about the costs.
var cheap = Params{MemoryKiB: 8, Time: 1, Parallelism: 1}

func TestAVerifierTakesItsPasswordAndNoOther(t *testing.T) {
	t.Parallel()
	pool := NewPool(cheap, 1, 1)
	verifier, err := pool.Hash(t.Context(), secret.New("correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	for password, want := range map[string]bool{
		"correct horse":  true,
		"correct horse ": false,
		"Correct horse":  false,
		"":               false,
	} {
		got, err := pool.Verify(t.Context(), verifier, secret.New(password))
		if err != nil || got != want {
			t.Errorf("Verify(%q) = %v, %v; want %v", password, got, err, want)
		}
	}
}

func TestTheSamePasswordTypedComposedAndDecomposedIsTheSame(t *testing.T) {
	t.Parallel()
	pool := NewPool(cheap, 1, 1)
	verifier, err := pool.Hash(t.Context(), secret.New("caf\u00e9 au lait"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := pool.Verify(t.Context(), verifier, secret.New("cafe\u0301 au lait"))
	if err != nil || !got {
		t.Errorf("Verify = %v, %v; want true", got, err)
	}
}

func TestTwoHashesOfOnePasswordDiffer(t *testing.T) {
	t.Parallel()
	pool := NewPool(cheap, 1, 1)
	first, err := pool.Hash(t.Context(), secret.New("correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := pool.Hash(t.Context(), secret.New("correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	if first.Equal(second) {
		t.Error("two verifiers of one password are equal: the salt is not random")
	}
}

func TestAnImportedVerifierWithAShorterKeyVerifies(t *testing.T) {
	t.Parallel()
	pool := NewPool(cheap, 1, 1)
	imported := verifier{params: cheap, salt: []byte("somesalt")}
	imported.key = argon2id([]byte("correct horse"), imported.salt, cheap, 16)
	got, err := pool.Verify(t.Context(), imported.encode(), secret.New("correct horse"))
	if err != nil || !got {
		t.Errorf("Verify = %v, %v; want true", got, err)
	}
	if !pool.Outdated(imported.encode()) {
		t.Error("a short key is not reported as outdated")
	}
}

func TestAnUnknownUserCostsTheWorkOfAWrongPassword(t *testing.T) {
	t.Parallel()
	type work struct {
		params             Params
		password, salt, to int
	}
	var done []work
	pool := newPool(DefaultParams, 1, 1, func(password, salt []byte, params Params, length int) []byte {
		done = append(done, work{params, len(password), len(salt), length})
		return make([]byte, length)
	})
	verifier, err := pool.Hash(t.Context(), secret.New("correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	done = nil
	if _, err := pool.Verify(t.Context(), verifier, secret.New("wrong password")); err != nil {
		t.Fatal(err)
	}
	if err := pool.VerifyUnknown(t.Context(), secret.New("wrong password")); err != nil {
		t.Fatal(err)
	}
	if len(done) != 2 || done[0] != done[1] {
		t.Errorf("work done is %v, want twice the same", done)
	}
}

// A known account must not answer sooner than an unknown name, whatever its
// verifier's costs.
func TestAWrongPasswordNeverCostsLessThanAnUnknownUser(t *testing.T) {
	t.Parallel()
	present := Params{MemoryKiB: 1000, Time: 3, Parallelism: 2}
	var hashed []Params
	pool := newPool(present, 1, 1, func(_, _ []byte, params Params, length int) []byte {
		hashed = append(hashed, params)
		return make([]byte, length)
	})
	for name, former := range map[string]Params{
		"present costs":    present,
		"less memory":      {MemoryKiB: 500, Time: 3, Parallelism: 2},
		"fewer passes":     {MemoryKiB: 1000, Time: 1, Parallelism: 2},
		"more lanes":       {MemoryKiB: 1000, Time: 3, Parallelism: 4},
		"more of all":      {MemoryKiB: 2000, Time: 6, Parallelism: 4},
		"memory for time":  {MemoryKiB: 3000, Time: 1, Parallelism: 2},
		"the least of all": cheap,
	} {
		want := []Params{former}
		if former != present {
			want = append(want, present)
		}
		hashed = nil
		wrong := verifier{params: former, salt: random(saltLength), key: random(keyLength)}.encode()
		if right, err := pool.Verify(t.Context(), wrong, secret.New("wrong password")); right || err != nil {
			t.Fatal(right, err)
		}
		if !slices.Equal(hashed, want) {
			t.Errorf("%s: hashed with %v, want %v", name, hashed, want)
		}
		hashed = nil
		known := verifier{params: former, salt: random(saltLength), key: make([]byte, keyLength)}.encode()
		if right, err := pool.Verify(t.Context(), known, secret.New("right password")); !right || err != nil || len(hashed) != 1 {
			t.Errorf("%s: the right password: %v, %v after %d hashes, want one", name, right, err, len(hashed))
		}
	}
}

// Not parallel: it changes what the scheduler does for all.
func TestAPoolMadeAfterRoomWasMadeTakesNoMoreCores(t *testing.T) {
	first := NewPool(cheap, 0, 0)
	defer first.MakeRoom()()
	if workers := NewPool(cheap, 0, 0).line.Places(); workers > runtime.NumCPU() {
		t.Errorf("%d workers on %d cores", workers, runtime.NumCPU())
	}
}

// held is a pool whose hashes take a second of the fake clock.
func held(workers, queue int) *Pool {
	return newPool(cheap, workers, queue, func(_, _ []byte, _ Params, length int) []byte {
		<-time.After(time.Second) // by the fake clock
		return make([]byte, length)
	})
}

func TestPastTheQueueAHashIsRefusedAtOnceWithTheTimeToDrain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		pool := held(2, 3)
		var finished sync.WaitGroup
		for range 5 {
			finished.Go(func() {
				if _, err := pool.Hash(t.Context(), secret.New("correct horse")); err != nil {
					t.Errorf("within the bounds: %v", err)
				}
			})
		}
		synctest.Wait()
		began := time.Now()
		_, err := pool.Hash(t.Context(), secret.New("correct horse"))
		var overloaded *OverloadedError
		if !errors.As(err, &overloaded) {
			t.Fatalf("past the queue: %v, want an OverloadedError", err)
		}
		if waited := time.Since(began); waited != 0 {
			t.Errorf("refused after %s, want at once", waited)
		}
		// Five hashes of a second on two workers, and up to half as much again.
		if after := overloaded.RetryAfter; after < 2500*time.Millisecond || after > 3750*time.Millisecond {
			t.Errorf("RetryAfter = %s, want 2.5 to 3.75 s", after)
		}
		finished.Wait()
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("five hashes on two workers took %s, want 3 s", took)
		}
		if stats := pool.Stats(); stats != (Stats{Hashes: 6, Refused: 1, Took: 6 * time.Second}) {
			t.Errorf("Stats = %+v", stats)
		}
	})
}

func TestAWaiterWhoGivesUpLeavesTheQueueToTheNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		pool := held(1, 1)
		var finished sync.WaitGroup
		hash := func(ctx context.Context, want error) {
			finished.Go(func() {
				if _, err := pool.Hash(ctx, secret.New("correct horse")); !errors.Is(err, want) {
					t.Errorf("Hash: %v, want %v", err, want)
				}
			})
			synctest.Wait()
		}
		hash(t.Context(), nil)
		impatient, giveUp := context.WithCancel(t.Context())
		hash(impatient, context.Canceled)
		if waiting := pool.Stats().Waiting; waiting != 1 {
			t.Fatalf("Waiting = %d, want 1", waiting)
		}
		giveUp()
		synctest.Wait()
		if waiting := pool.Stats().Waiting; waiting != 0 {
			t.Errorf("Waiting = %d after the waiter gave up, want 0", waiting)
		}
		hash(t.Context(), nil)
		finished.Wait()
	})
}

func TestNothingIsHashedForACallerWhoIsGone(t *testing.T) {
	t.Parallel()
	pool := NewPool(cheap, 1, 1)
	before := pool.Stats().Hashes
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := pool.Hash(gone, secret.New("correct horse")); !errors.Is(err, context.Canceled) {
		t.Errorf("Hash: %v, want context.Canceled", err)
	}
	if pool.Stats().Hashes != before {
		t.Error("a hash was computed")
	}
}

func TestAVerifierOfOtherCostsIsOutdatedAndStillVerifies(t *testing.T) {
	t.Parallel()
	former, present := NewPool(cheap, 1, 1), NewPool(Params{MemoryKiB: 16, Time: 2, Parallelism: 2}, 1, 1)
	verifier, err := former.Hash(t.Context(), secret.New("correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	if former.Outdated(verifier) || !present.Outdated(verifier) {
		t.Error("Outdated does not tell former costs from present ones")
	}
	if got, err := present.Verify(t.Context(), verifier, secret.New("correct horse")); err != nil || !got {
		t.Errorf("Verify = %v, %v; want true", got, err)
	}
}

func TestCheckCountsCharactersAfterNormalisation(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		password string
		want     error
	}{
		"eight letters":                      {"abcdefgh", nil},
		"seven letters":                      {"abcdefg", ErrTooShort},
		"eight letters of three bytes each":  {strings.Repeat("日", 8), nil},
		"eight runes that are seven letters": {"abcdefe\u0301", ErrTooShort},
		"256 letters":                        {strings.Repeat("é", 256), nil},
		"257 letters":                        {strings.Repeat("é", 257), ErrTooLong},
		"spaces count":                       {"        ", nil},
	} {
		if got := Check(secret.New(test.password)); !errors.Is(got, test.want) {
			t.Errorf("%s: Check = %v, want %v", name, got, test.want)
		}
	}
}
