package app

import (
	"slices"

	"github.com/muster-id/muster/platform/access"
)

// What the commands of administrators need, as the methods of IdentityService
// declare it; to open an account with roles needs both of the first two.
const (
	writeUsers  = "users.write"
	writeRoles  = "roles.write"
	deleteUsers = "users.delete"
)

// knownRoles gives roles in order, each once, and refuses one that there is not.
func knownRoles(roles []string) ([]string, error) {
	if slices.ContainsFunc(roles, func(role string) bool { return !access.KnownRole(role) }) {
		return nil, &InvalidFieldError{Field: "roles", Problem: "There is no such role; the roles are " + access.Admin + " and " + access.Auditor}
	}
	return slices.Compact(slices.Sorted(slices.Values(roles))), nil
}
