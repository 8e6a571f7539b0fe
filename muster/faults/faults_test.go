package main

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	bePart()
	// A proxy whose link is taken away in the middle of a toxic sometimes leaves
	// that toxic waiting: toxiproxy's own, and it ends with the process.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run"))
}

// A minute of faults breaks no rule: what was acknowledged is in the log once,
// what was refused is not, and every part comes back. The program runs longer.
func TestNoRuleIsBrokenWhilePartsFail(t *testing.T) {
	t.Parallel()
	// A seed of its own for all runs, so that a change and not a draw turns it red.
	err := execute(t.Context(), options{For: time.Minute, Seed: 1, Registrations: 20, Clients: 4, Short: true}, t.Output())
	if err != nil {
		t.Error(err)
	}
}
