package app_test

import (
	"reflect"
	"testing"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/identity/internal/user"
)

func TestRolesAreReplacedWhole(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	admin, ada := b.administrator(t), b.register(t, ada()).UserID
	for _, c := range []struct {
		roles, want []string
		version     int64
	}{
		{[]string{"auditor", "admin"}, []string{"admin", "auditor"}, 3},
		{[]string{"admin", "auditor"}, []string{"admin", "auditor"}, 3},
		{[]string{"auditor"}, []string{"auditor"}, 4},
		{nil, nil, 5},
	} {
		updated := b.give(t, roles(admin, ada, c.roles...))
		if got := updated.Profile.Roles; len(got) != len(c.want) || len(got) > 0 && !reflect.DeepEqual(got, c.want) || updated.Position.Version != c.version {
			t.Errorf("got %v at version %d, want %v at %d", got, updated.Position.Version, c.want, c.version)
		}
	}
	_, err := b.Commands.SetUserRoles.Handle(t.Context(), roles(admin, admin, "auditor"))
	expect(t, err, user.ErrOwnAccount)
}

func TestRepeatedRolesAreAnsweredFromTheFirst(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	admin, ada := b.administrator(t), b.register(t, ada()).UserID
	command := roles(admin, ada, "auditor", "admin")
	command.Request.IdempotencyKey = "0123456789abcdef"
	first := b.give(t, command)
	b.give(t, roles(admin, ada)) // meanwhile
	command.Roles = []string{"admin", "auditor"}
	if again := b.give(t, command); !reflect.DeepEqual(again, first) {
		t.Errorf("got %+v, want %+v", again, first)
	}
	command.Roles = []string{"auditor"}
	_, err := b.Commands.SetUserRoles.Handle(t.Context(), command)
	expect(t, err, eventstore.ErrCommandReused)
}
