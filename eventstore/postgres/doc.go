// Package postgres is the event log in PostgreSQL: the one place where truth is
// written, and the outbox that everything else reads.
//
//	command ─▶ Append ─▶ one transaction: command row, reservations, events ─▶ COMMIT
//	                                                                            │ after it, never inside
//	      waiting readers ◀── bell ◀── listener ◀── NOTIFY, at most one a 2 ms ◀┘
//	             │
//	             ▼
//	ReadLog, Leadership.Read: snapshot ticks ─▶ pages, each with an opaque cursor
//
// Events are written by Watermill's SQL publisher with the schema adapter of
// this package (publish.go), in one statement that also proves that their
// predecessor exists. They are read by stream, or as a whole by ticks between
// two snapshots of the server (ticks.go): an offset is handed out before its
// transaction commits, so "after the last offset seen" would skip the slower of
// two writers. Transaction ids mean nothing after a restore or a fail-over, so
// cursors carry the log's epoch (epoch.go). After a crash the server gives some
// of them out again, so cursors carry its lifetime too, which every recovery
// ends (log.lifetime).
package postgres
