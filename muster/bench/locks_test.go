package main

import (
	"math"
	"testing"
)

// A wait for a lock is not hidden among waits for the disk, nor the other way round.
func TestWaitsAreToldApart(t *testing.T) {
	t.Parallel()
	seen := activity{}
	seen.add(activity{{}: 5, {"Lock", "tuple"}: 1})
	seen.add(activity{{}: 1, {"LWLock", "WALWrite"}: 12, {"Lock", "transactionid"}: 1})
	if share := seen.share("Lock"); math.Abs(share-0.1) > 1e-9 {
		t.Errorf("the share of locks is %v, want 0.1", share)
	}
	const want = "LWLock WALWrite 60.0 %, computing 30.0 %, Lock transactionid 5.0 %, Lock tuple 5.0 %"
	if got := seen.String(); got != want {
		t.Errorf("got %s", got)
	}
	if share := (activity{}).share("Lock"); !math.IsNaN(share) {
		t.Errorf("of nothing, the share is %v", share)
	}
}

func TestPartsAddUp(t *testing.T) {
	t.Parallel()
	stored := parts{{"rows", 7000}, {"an index", 1500}}
	if stored.sum() != 8500 || stored.each(10) != "rows 700, an index 150" {
		t.Errorf("%v and %s", stored.sum(), stored.each(10))
	}
}
