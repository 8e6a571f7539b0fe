package postgres

import (
	"testing"

	"github.com/muster-id/muster/eventstore/eventtest"
)

func TestTheLogKeepsWhatEventstorePromises(t *testing.T) {
	t.Parallel()
	eventtest.RunStore(t, func(t *testing.T) eventtest.StoreUnderTest { return newFixture(t).Log })
}
