// Package users is the projection of the identity log that lists of accounts
// are read from: one row for each account, and an index for each order.
//
//	UserRegistered                    ─▶ the row, active
//	ProfileUpdated, UsernameChanged, EmailChanged, RolesChanged,
//	UserDeactivated, UserReactivated  ─▶ what has changed
//	PasswordSet                       ─▶ version and time only
//	UserErased                        ─▶ no row
//
// One account is told from its own stream instead, which is never out of date:
// see docs/adr/0012-get-folds-list-projects.md.
package users
