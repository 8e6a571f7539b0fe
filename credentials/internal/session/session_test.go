package session

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
)

var (
	access   = Access{PasswordVersion: 2, SessionsFrom: 2, Version: 2}
	lifetime = Lifetime{Idle: 30 * 24 * time.Hour, Absolute: 90 * 24 * time.Hour}
	start    = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
)

// refreshed presents a token and goes on with what comes of it.
func refreshed(t *testing.T, s *Session, number int64, at time.Time) (child int64, err error) {
	t.Helper()
	next, child, err := s.Refresh(number, access, at, lifetime)
	*s = next
	return child, err
}

func opened() Session { return Open(uuid.New(), uuid.New(), access, start, lifetime) }

func TestEachRefreshMakesTheNextToken(t *testing.T) {
	t.Parallel()
	s := opened()
	for number := int64(1); number < 5; number++ {
		at := start.Add(time.Duration(number) * 15 * time.Minute)
		child, err := refreshed(t, &s, number, at)
		if err != nil || child != number+1 {
			t.Fatalf("token %d: child %d, %v; want %d", number, child, err, number+1)
		}
		if s.LastUsedAt != at {
			t.Errorf("LastUsedAt = %s, want %s", s.LastUsedAt, at)
		}
	}
}

func TestAParentIsAnsweredWithItsUnusedChildHoweverLate(t *testing.T) {
	t.Parallel()
	s := opened()
	if _, err := refreshed(t, &s, 1, start); err != nil {
		t.Fatal(err)
	}
	before := s.Counter
	for _, later := range []time.Duration{0, time.Second, time.Hour, 20 * 24 * time.Hour} {
		child, err := refreshed(t, &s, 1, start.Add(later))
		if err != nil || child != 2 {
			t.Errorf("the parent after %s: child %d, %v; want 2", later, child, err)
		}
	}
	if s.Counter != before {
		t.Error("answering the parent again made a new token")
	}
}

func TestAGrandparentIsAnsweredForThirtySecondsAndThenEndsTheSession(t *testing.T) {
	t.Parallel()
	s := opened()
	for _, at := range []time.Time{start, start.Add(time.Hour)} {
		if _, err := refreshed(t, &s, s.Counter, at); err != nil {
			t.Fatal(err)
		}
	}
	firstUse := start.Add(time.Hour) // of token 2
	for after, want := range map[time.Duration]error{0: nil, Grace: nil, Grace + time.Microsecond: ErrReused, time.Hour: ErrReused} {
		answer, err := refreshed(t, &s, 1, firstUse.Add(after))
		if !errors.Is(err, want) || want == nil && answer != 3 {
			t.Errorf("token 1, %s after the first use of its child: %d, %v; want 3, %v", after, answer, err, want)
		}
	}
}

func TestALateCallIsAnsweredWithATokenThatWillNotBeTakenForStolen(t *testing.T) {
	t.Parallel()
	s := opened()
	for range 2 { // one tab; another's call with token 1 is still on its way
		if _, err := refreshed(t, &s, s.Counter, start); err != nil {
			t.Fatal(err)
		}
	}
	late, err := refreshed(t, &s, 1, start.Add(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	// A third tab had token 3 and never got its answer.
	if _, err := refreshed(t, &s, 3, start.Add(2*time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := refreshed(t, &s, late, start.Add(time.Hour)); err != nil {
		t.Errorf("the holder of token %d came back an hour later: %v", late, err)
	}
}

func TestUsesAreForgottenAfterGraceAndBounded(t *testing.T) {
	t.Parallel()
	s := opened()
	for range 2 * usesKept {
		if _, err := refreshed(t, &s, s.Counter, start); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.UsedAt) != usesKept {
		t.Errorf("%d uses are kept, want %d", len(s.UsedAt), usesKept)
	}
	if _, err := refreshed(t, &s, s.Counter, start.Add(Grace+time.Second)); err != nil {
		t.Fatal(err)
	}
	if len(s.UsedAt) != 1 {
		t.Errorf("%d uses are kept after the time of grace, want 1", len(s.UsedAt))
	}
}

func TestASessionLivesAsLongAsItIsUsedUpToItsAge(t *testing.T) {
	t.Parallel()
	s := opened()
	day := 24 * time.Hour
	for _, step := range []struct {
		at     time.Duration
		want   error
		expiry time.Duration
	}{
		{29 * day, nil, 59 * day},
		{58 * day, nil, 88 * day},
		{80 * day, nil, 90 * day}, // not 110
		{90*day - time.Microsecond, nil, 90 * day},
		{90 * day, ErrExpired, 90 * day},
	} {
		_, err := refreshed(t, &s, s.Counter, start.Add(step.at))
		if !errors.Is(err, step.want) || !s.ExpiresAt.Equal(start.Add(step.expiry)) {
			t.Errorf("on day %v: %v, expires on day %v; want %v, %v", step.at.Hours()/24, err,
				s.ExpiresAt.Sub(start).Hours()/24, step.want, step.expiry.Hours()/24)
		}
	}
	idle := opened()
	if _, err := refreshed(t, &idle, 1, start.Add(30*day)); !errors.Is(err, ErrExpired) {
		t.Errorf("after 30 idle days: %v, want ErrExpired", err)
	}
}

func TestASessionEndsWithItsPasswordAndWithItsRevocation(t *testing.T) {
	t.Parallel()
	s := opened()
	if _, _, err := s.Refresh(1, Access{PasswordVersion: 3, SessionsFrom: 3, Version: 3}, start, lifetime); !errors.Is(err, ErrRevoked) {
		t.Errorf("with another password: %v, want ErrRevoked", err)
	}
	s.Revoked = true
	if _, _, err := s.Refresh(1, access, start, lifetime); !errors.Is(err, ErrRevoked) {
		t.Errorf("revoked: %v, want ErrRevoked", err)
	}
}

func TestASessionEndsWithADeactivationAndWithNothingElseOfTheAccess(t *testing.T) {
	t.Parallel()
	s := Open(uuid.New(), uuid.New(), Access{PasswordVersion: 2, SessionsFrom: 2, Version: 4}, start, lifetime)
	for name, test := range map[string]struct {
		under Access
		want  error
	}{
		"new roles":                            {Access{2, 2, 5}, nil},
		"deactivated":                          {Access{2, 5, 5}, ErrRevoked},
		"reactivated since":                    {Access{2, 5, 6}, ErrRevoked},
		"deactivated and back before it began": {Access{2, 3, 4}, nil},
		// The log was restored to version 3, and version 4 is a new password now.
		"a password of a version that was given before": {Access{4, 4, 4}, ErrRevoked},
	} {
		if _, _, err := s.Refresh(1, test.under, start, lifetime); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
}

func TestATokenThatWasNeverMadeIsInvalid(t *testing.T) {
	t.Parallel()
	s := opened()
	for _, number := range []int64{-1, 0, 2, 1 << 62} {
		if _, _, err := s.Refresh(number, access, start, lifetime); !errors.Is(err, ErrInvalid) {
			t.Errorf("token %d: %v, want ErrInvalid", number, err)
		}
	}
}
