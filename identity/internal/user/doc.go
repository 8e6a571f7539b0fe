// Package user is the aggregate of one person: the rules of an account, and
// nothing else. It is pure: no clock, no I/O, no ids of its own.
//
//	Register, User.ChangePassword, User.UpdateProfile   decide: events, or why not
//	User.Apply                                          folds what was decided
//
// Names arrive here in their canonical form and passwords as verifiers; internal/app
// sees to both.
package user
