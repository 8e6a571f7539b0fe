package access_test

import (
	"fmt"
	"testing"

	"github.com/muster-id/muster/eventstore"
)

// BenchmarkApply makes a generation of 5000 people, five events each, in batches
// of 5000 events as a rebuild does: person after person, or everybody's first
// events before everybody's second.
func BenchmarkApply(b *testing.B) {
	for name, batchOf := range map[string]func(person, event int) int{
		"people": func(person, _ int) int { return person / 1000 },
		"events": func(_, event int) int { return event },
	} {
		b.Run(name, func(b *testing.B) {
			bundle, count := setup(b), 0
			for b.Loop() {
				b.StopTimer()
				var batches [5][]eventstore.Opened
				for person := range 5000 {
					for i, event := range life(fmt.Sprintf("%d-%d", count, person)) {
						batch := &batches[batchOf(person, i)]
						*batch = append(*batch, event)
					}
				}
				b.StartTimer()
				for _, batch := range batches {
					if err := bundle.try(b.Context(), 2, batch...); err != nil {
						b.Fatal(err)
					}
					count += len(batch)
				}
			}
			b.ReportMetric(float64(count)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// life is the five events of somebody who is new.
func life(name string) []eventstore.Opened {
	const verifier = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g"
	p := newPerson(name)
	return []eventstore.Opened{
		p.registered(), p.passwordSet(verifier, true), p.passwordSet(verifier, false), p.given("auditor"), p.deactivated(),
	}
}
