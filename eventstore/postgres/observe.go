package postgres

import (
	"errors"
	"sync/atomic"

	"github.com/muster-id/muster/eventstore"
)

// counts are of this process, since its start.
type counts struct {
	appended, conflicts, busy atomic.Int64
}

// note counts one go at an append.
func (c *counts) note(replayed bool, events int, err error) {
	switch {
	case err == nil && !replayed:
		c.appended.Add(int64(events))
	case errors.Is(err, eventstore.ErrWrongVersion):
		c.conflicts.Add(1)
	case errors.Is(err, ErrBusy):
		c.busy.Add(1)
	}
}

// Metrics gives what this process has done with the log.
func (l *Log) Metrics(emit eventstore.Emit) {
	emit("muster_log_appended_total", "Events appended by this process.", float64(l.counts.appended.Load()), "log", l.name)
	emit("muster_log_conflicts_total", "Appends that found the stream changed meanwhile; their commands are decided again.", float64(l.counts.conflicts.Load()), "log", l.name)
	emit("muster_log_busy_total", "Appends given up since others held what they needed for too long.", float64(l.counts.busy.Load()), "log", l.name)
	emit("muster_log_epoch", "Epoch of the log: it grows when the database was restored or failed over.", float64(l.Epoch()), "log", l.name)
}
