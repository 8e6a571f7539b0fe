package session

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

// world is a session, the browser that it belongs to and perhaps a thief.
type world struct {
	session Session
	now     time.Time
	// jar is the cookie that all tabs of the browser share.
	jar int64
	// calls that tabs have sent and the server has not handled yet, in no order.
	calls []call
	// answers that the server has given, on their way to the jar in their order.
	answers []int64
}

type call struct {
	number int64
	sentAt time.Time
}

func newWorld() *world {
	return &world{session: Open(uuid.New(), uuid.New(), access, start, lifetime), now: start, jar: 1}
}

func (w *world) present(number int64) (int64, error) {
	next, answer, err := w.session.Refresh(number, access, w.now, lifetime)
	w.session = next
	if errors.Is(err, ErrReused) {
		w.session.Revoked = true
	}
	return answer, err
}

// pass lets time pass, but not so much that a call would be on its way for
// longer than Grace, which is there for those.
func (w *world) pass(d time.Duration) {
	for _, sent := range w.calls {
		d = min(d, Grace-w.now.Sub(sent.sentAt))
	}
	w.now = w.now.Add(d)
}

// However its tabs race, and whichever answers get lost on the way, a browser
// whose calls take no longer than Grace stays signed in.
func TestAnHonestBrowserIsNeverSignedOut(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld()
		t.Repeat(map[string]func(*rapid.T){
			"a tab refreshes": func(t *rapid.T) {
				if len(w.calls) == 8 {
					t.Skip("eight tabs are enough")
				}
				w.calls = append(w.calls, call{w.jar, w.now})
			},
			"the server handles a call": func(t *rapid.T) {
				if len(w.calls) == 0 {
					t.Skip("none is on its way")
				}
				i := rapid.IntRange(0, len(w.calls)-1).Draw(t, "call")
				answer, err := w.present(w.calls[i].number)
				if err != nil {
					t.Fatalf("token %d: signed out: %v; newest is %d", w.calls[i].number, err, w.session.Counter)
				}
				w.calls = append(w.calls[:i], w.calls[i+1:]...)
				w.answers = append(w.answers, answer)
			},
			"an answer arrives or is lost": func(t *rapid.T) {
				if len(w.answers) == 0 {
					t.Skip("none is on its way")
				}
				if rapid.Bool().Draw(t, "arrives") {
					w.jar = w.answers[0]
				}
				w.answers = w.answers[1:]
			},
			"a moment passes": func(t *rapid.T) {
				w.pass(time.Duration(rapid.IntRange(1, 20_000).Draw(t, "ms")) * time.Millisecond)
			},
			"a day passes": func(t *rapid.T) {
				if w.now.Sub(start) > lifetime.Absolute-48*time.Hour {
					t.Skip("it is as old as a session gets")
				}
				w.pass(24 * time.Hour)
			},
		})
	})
}

// As soon as a thief or the browser falls two tokens behind the other for longer
// than Grace, the session ends for both, whichever of them comes late.
func TestAThiefIsCaughtOnceOneOfTheTwoFallsBehind(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld()
		holders := map[string]*int64{"browser": &w.jar, "thief": new(int64)}
		refresh := func(who string) {
			child, err := w.present(*holders[who])
			if err != nil {
				t.Fatalf("%s refreshes in step: %v", who, err)
			}
			*holders[who] = child
		}
		for range rapid.IntRange(0, 5).Draw(t, "refreshes before the theft") {
			refresh("browser")
			w.pass(15 * time.Minute)
		}
		*holders["thief"] = w.jar
		// For a while they keep in step, by chance or by cunning.
		for range rapid.IntRange(0, 3).Draw(t, "refreshes in step") {
			for _, who := range rapid.Permutation([]string{"browser", "thief"}).Draw(t, "order") {
				refresh(who)
				w.pass(time.Minute)
			}
		}
		late := rapid.SampledFrom([]string{"browser", "thief"}).Draw(t, "who falls behind")
		ahead := map[string]string{"browser": "thief", "thief": "browser"}[late]
		for *holders[ahead] < *holders[late]+2 {
			refresh(ahead)
		}
		refresh(ahead) // the child of late's token is used, at the latest now
		w.pass(Grace + time.Second)
		if _, err := w.present(*holders[late]); !errors.Is(err, ErrReused) {
			t.Fatalf("%s comes late with token %d, newest is %d: %v, want ErrReused", late, *holders[late], w.session.Counter, err)
		}
		for who, number := range holders {
			if _, err := w.present(*number); !errors.Is(err, ErrRevoked) {
				t.Errorf("afterwards the %s is answered %v, want ErrRevoked", who, err)
			}
		}
	})
}
