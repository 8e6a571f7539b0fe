// Package session holds the rules of sessions and refresh tokens: pure, without
// clock or database.
//
// A session is one chain of numbered refresh tokens. A token is the session's
// id, its number and an HMAC over both, so nothing is stored for each token:
// the row knows the newest number and when the ones before it were first used.
//
//	         newest is 7: its parent is 6, whose parent is 5
//
//	…  4 ──▶ 5 ──▶ 6 ──▶ 7
//	   │     │     │     └─ presented: 8 is made, and 7 counts as used from now on
//	   │     │     └─ presented: 7 again, since 7 is unused: the first answer was lost, or another tab was faster
//	   │     └─ presented: 7 too, for 30 seconds after the first use of 6: a call was long on its way
//	   └─ presented: the session ends. Somebody holds a token that its owner has replaced
//
// A copy of a token is therefore found out as soon as one of the two who hold it
// falls behind. Two who always keep in step, as two tabs do, cannot be told apart.
package session
