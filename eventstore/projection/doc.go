// Package projection turns a log's events into rows: the last step of an
// event's way, and the first of a read.
//
//	broker ──message──▶┐
//	                   ├─▶ bounded queue ─▶ batch ─▶ fill gaps ─▶ open ─▶ one transaction ─▶ ack, wake
//	log ──page, tail──▶┘                               ▲                  rows
//	                                               ReadStream             applied versions
//	                                                                      cursor of the tail
//
// The broker is fast, the tail is certain: whatever the broker loses, repeats
// or shuffles, the rows come out as a fold of the log. What was applied is
// known for each stream by its version, in the rows' own transaction, so any
// number of processes may run the same projection.
//
// Rows and versions carry a generation; a pointer row says which one serves.
// Await is read-your-own-writes: it waits until a position is in the rows.
package projection
