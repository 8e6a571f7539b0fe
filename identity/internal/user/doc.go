// Package user is the aggregate of one person: the rules of an account, and
// nothing else. It is pure: no clock, no I/O, no ids of its own.
//
//	Register, User.ChangePassword, User.UpdateProfile   decide: events, or why not
//	User.Change, User.SetRoles, User.Erase              the same, for an administrator
//	User.Apply                                          folds what was decided
//
// That the last administrator stays is no rule of one account: internal/app has it.
//
// Names arrive here in their canonical form and passwords as verifiers; internal/app
// sees to both.
package user
