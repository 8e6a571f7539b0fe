package main

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	bePart()
	goleak.VerifyTestMain(m)
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
