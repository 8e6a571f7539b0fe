// Package access is the projection of the identity log that sign-ins read: one
// row for each person who may come in.
//
//	UserRegistered  ─▶ the row, with names and roles, active
//	PasswordSet     ─▶ verifier, its version, whether it has to be changed
//	UserDeactivated, UserReactivated ─▶ active
//
// An event whose key was destroyed makes nothing usable: a person without names
// has no row, a password without its verifier opens nothing.
package access
