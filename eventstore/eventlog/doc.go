// Package eventlog serves a log to other services over Connect, and reads one
// so served.
//
//	postgres.Log ─▶ Handler ─▶ muster.eventlog.v1.EventLogService ─▶ Client ─▶ projection
//
// The client gives the same errors as the log itself: eventstore.ErrCursorInvalid
// and eventstore.ErrEpochChanged travel as reasons.
package eventlog
