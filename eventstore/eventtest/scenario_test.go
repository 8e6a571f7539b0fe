package eventtest

import (
	"errors"
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/muster-id/muster/eventstore"
)

// counter counts up to 3.
type counter struct{ at int64 }

var errFull = errors.New("full")

func (c *counter) Apply(event eventstore.Opened) { c.at = event.Version }

func (c *counter) count() ([]proto.Message, error) {
	if c.at == 3 {
		return nil, errFull
	}
	return []proto.Message{wrapperspb.Int64(c.at + 1)}, nil
}

func TestAScenarioAppliesThePast(t *testing.T) {
	t.Parallel()
	one := wrapperspb.Int64(1)
	Given(t, &counter{}).When((*counter).count).Then(one)
	Given(t, &counter{}, one, one).When((*counter).count).Then(wrapperspb.Int64(3))
	Given(t, &counter{}, one, one, one).When((*counter).count).ThenError(errFull)
	Given(t, &counter{}).When(func(*counter) ([]proto.Message, error) { return nil, nil }).Then()
}

// witness is a test that is expected to fail.
type witness struct {
	testing.TB
	said []string
}

func (w *witness) Helper() {}

func (w *witness) Errorf(format string, args ...any) {
	w.said = append(w.said, fmt.Sprintf(format, args...))
}

func TestAScenarioNoticesWhatIsOtherwise(t *testing.T) {
	t.Parallel()
	one := wrapperspb.Int64(1)
	for name, wrong := range map[string]func(t testing.TB){
		"another event": func(t testing.TB) { Given(t, &counter{}).When((*counter).count).Then(wrapperspb.Int64(2)) },
		"an event more": func(t testing.TB) { Given(t, &counter{}).When((*counter).count).Then() },
		"an event less": func(t testing.TB) { Given(t, &counter{}).When((*counter).count).Then(one, one) },
		"a refusal":     func(t testing.TB) { Given(t, &counter{}, one, one, one).When((*counter).count).Then(one) },
		"no refusal":    func(t testing.TB) { Given(t, &counter{}).When((*counter).count).ThenError(errFull) },
		"another refusal": func(t testing.TB) {
			Given(t, &counter{}, one, one, one).When((*counter).count).ThenError(errors.New("x"))
		},
		"events and error": func(t testing.TB) { Decision{t: t, messages: []proto.Message{one}, err: errFull}.ThenError(errFull) },
	} {
		w := &witness{TB: t}
		if wrong(w); len(w.said) == 0 {
			t.Errorf("%s went unnoticed", name)
		}
	}
}
