// Package eventlog serves a log to other services over Connect, and reads one
// so served.
//
//	postgres.Log ─▶ Handler ─▶ muster.eventlog.v1.EventLogService ─▶ Client ─▶ projection
//
// A log is read page by page, or followed by a stream that goes on at its head
// and is resumed from any cursor it gave (Client.Follow).
//
// The client gives the same errors as the log itself: eventstore.ErrCursorInvalid
// and eventstore.ErrEpochChanged travel as reasons.
package eventlog
