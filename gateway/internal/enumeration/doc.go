// Package enumeration bounds how fast one address can learn from Register
// which usernames and email addresses are taken.
//
//	Register ──▶ Limit.Wait ──▶ identity ──▶ USERNAME_TAKEN, EMAIL_TAKEN ──▶ Limit.Note
//	                 └─ more than 0: RATE_LIMITED, before any work
//
// Only answers that tell something count, so registering itself is never
// limited. docs/adr/0014 weighs it. Each gateway counts for itself.
package enumeration
