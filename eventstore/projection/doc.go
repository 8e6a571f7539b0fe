// Package projection turns a log's events into rows: the last step of an
// event's way, and the first of a read.
//
//	broker ──message──▶┐
//	                   ├─▶ bounded queue ─▶ batch ─▶ fill gaps ─▶ open ─▶ one transaction ─▶ ack, wake
//	log ──page, tail──▶┘                               ▲                  rows
//	                                               ReadStream             applied versions
//	                                                                      cursor of the tail
//	log ──page, feed──▶ open ─▶ one transaction of a generation beside the one that serves ─▶ swap, or compare
//
// The broker is fast, the tail is certain: whatever the broker loses, repeats
// or shuffles, the rows come out as a fold of the log. What was applied is
// known for each stream by its version, in the rows' own transaction, so any
// number of processes may run the same projection. An event that cannot be
// applied is parked; its stream waits, all others go on.
//
// Rows and versions carry a generation; a pointer row says which one serves. A
// rebuild makes another one and swaps. Await is read-your-own-writes: it waits
// until a position is in the rows.
//
// projection.go is where to begin; then apply.go for the rows that serve, feed.go
// for the others, operate.go for what operators can ask for.
package projection
