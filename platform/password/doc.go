// Package password hashes passwords with Argon2id (RFC 9106) in a bounded pool.
//
// A hash costs 19 MiB and some 50 ms of a core on purpose, so whoever may ask
// for one can ask for too many. The pool hashes as many at once as there are
// cores, lets a few wait, and refuses the rest at once with the time after which
// a new try is worth it: a storm of logins then slows nothing else down.
//
//	Register, ChangePassword (identity)  ─▶ Check ─▶ Pool.Hash ─▶ verifier, a PHC string
//	Login (credentials)                  ─▶ Pool.Verify, or Pool.VerifyUnknown
package password
