package postgres

import (
	"errors"
	"testing"

	"github.com/muster-id/muster/eventstore"
)

// Events are counted when they are in the log, a lost race as a conflict.
func TestAppendsAndConflictsAreCounted(t *testing.T) {
	t.Parallel()
	log := newFixture(t)
	stream := newStream()
	mustAppend(t, log.Log, stream, eventstore.NoStream, 3)
	if _, err := log.Append(t.Context(), eventstore.Append{Stream: stream, Expected: 2, Events: newEvents(t, 1)}); !errors.Is(err, eventstore.ErrWrongVersion) {
		t.Fatal(err)
	}
	values := make(map[string]float64)
	log.Metrics(func(name, help string, value float64, labels ...string) {
		if help == "" || len(labels) != 2 || labels[0] != "log" || labels[1] != "identity" {
			t.Errorf("%s: help %q, labels %q", name, help, labels)
		}
		values[name] = value
	})
	for name, want := range map[string]float64{"muster_log_appended_total": 3, "muster_log_conflicts_total": 1, "muster_log_busy_total": 0, "muster_log_epoch": float64(log.Epoch())} {
		if values[name] != want {
			t.Errorf("%s is %v, want %v", name, values[name], want)
		}
	}
}
