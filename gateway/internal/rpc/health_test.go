package rpc

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	statusv1 "github.com/muster-id/muster/proto/gen/go/muster/status/v1"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

const (
	up       = statusv1.State_STATE_UP
	degraded = statusv1.State_STATE_DEGRADED
	down     = statusv1.State_STATE_DOWN
)

// part is a dependency that has been in a state since so many seconds.
func part(state statusv1.State, vital bool, since int64) *statusv1.Dependency {
	return &statusv1.Dependency{Name: "part", State: state, Vital: vital, Since: timestamppb.New(time.Unix(since, 0))}
}

func TestAServiceIsAsBadAsWhatItCannotWorkWithout(t *testing.T) {
	t.Parallel()
	const started = 10
	for name, c := range map[string]struct {
		parts []*statusv1.Dependency
		state musterv1.State
		since int64
	}{
		"nothing to depend on":                        {nil, musterv1.State_STATE_UP, started},
		"all is well since the last part is":          {[]*statusv1.Dependency{part(up, true, 30), part(up, false, 20)}, musterv1.State_STATE_UP, 30},
		"all was well before it started":              {[]*statusv1.Dependency{part(up, true, 5)}, musterv1.State_STATE_UP, started},
		"a vital part is down":                        {[]*statusv1.Dependency{part(up, true, 20), part(down, true, 40), part(up, true, 50)}, musterv1.State_STATE_DOWN, 40},
		"two vital parts are down":                    {[]*statusv1.Dependency{part(down, true, 40), part(down, true, 30)}, musterv1.State_STATE_DOWN, 30},
		"another part is down":                        {[]*statusv1.Dependency{part(down, false, 40), part(up, true, 50)}, musterv1.State_STATE_DEGRADED, 40},
		"a vital part is down after another":          {[]*statusv1.Dependency{part(down, false, 20), part(down, true, 40), part(degraded, true, 30)}, musterv1.State_STATE_DOWN, 40},
		"a vital part works in part":                  {[]*statusv1.Dependency{part(degraded, true, 40)}, musterv1.State_STATE_DEGRADED, 40},
		"another part works in part":                  {[]*statusv1.Dependency{part(degraded, false, 40), part(degraded, true, 30)}, musterv1.State_STATE_DEGRADED, 30},
		"a state of a newer version":                  {[]*statusv1.Dependency{part(9, true, 40)}, musterv1.State_STATE_DEGRADED, 40},
		"it has started again while a part was down":  {[]*statusv1.Dependency{part(down, true, 5)}, musterv1.State_STATE_DOWN, 5},
		"a part that says nothing of itself is no up": {[]*statusv1.Dependency{part(0, false, 40)}, musterv1.State_STATE_DEGRADED, 40},
	} {
		got := assess("identity", time.Second, &statusv1.GetStatusResponse{Dependencies: c.parts, StartedAt: timestamppb.New(time.Unix(started, 0))})
		if got.GetState() != c.state || got.GetSince().GetSeconds() != c.since || got.GetLatency().AsDuration() != time.Second {
			t.Errorf("%s: %v since %d", name, got.GetState(), got.GetSince().GetSeconds())
		}
	}
}
