// Package access is the projection of the identity log that sign-ins read: one
// row for each person who may come in.
//
//	UserRegistered  ─▶ the row, with names and roles, active
//	PasswordSet     ─▶ verifier, its version, whether it has to be changed; ends sessions
//	UsernameChanged, EmailChanged    ─▶ names
//	RolesChanged                     ─▶ roles
//	UserDeactivated, UserReactivated ─▶ active; a deactivation ends sessions
//	UserErased      ─▶ no row, no sessions, no rehashed verifier
//
// Sessions end by a version in the row, not by a write to them: a rebuild, which
// applies every event again, ends none that live.
//
// An event whose key was destroyed makes nothing usable: a person without names
// has no row, a password without its verifier opens nothing.
package access
