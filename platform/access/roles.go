package access

import "slices"

// Admin is the role that may do everything. It exists from the start.
const Admin = "admin"

// Auditor is the role that may look at everything and change nothing.
const Auditor = "auditor"

// every grants each permission that there is, so that a new one needs no line here.
const every = "*"

// grants are the permissions of each role. A person without a role may do what
// every signed-in person may.
func grants(role string) []string {
	switch role {
	case Admin:
		return []string{every}
	case Auditor:
		return []string{"users.read", "services.read", "projections.read", "events.read"}
	}
	return nil
}

// KnownRole tells whether there is such a role.
func KnownRole(role string) bool { return grants(role) != nil }

// May tells whether one of the person's roles grants a permission.
func (p Principal) May(permission string) bool {
	return slices.ContainsFunc(p.Roles, func(role string) bool {
		granted := grants(role)
		return slices.Contains(granted, every) || slices.Contains(granted, permission)
	})
}
