// Package sweeper deletes objects: those that are doomed at once, those that no
// event kept once their window and grace are over.
//
//	storage.objects ─▶ due? ─▶ kept by the log after all? ─▶ delete the object ─▶ then its row
//
// The row goes last, so that an object without a row is never left behind. Before
// one goes that is not doomed, the log is asked, and not the rows that follow it:
// these may be behind.
package sweeper
