// Package signing keeps the keys that access tokens are signed with.
//
//	made at the first start ──▶ sealed, in the database ──▶ opened at each start ──▶ signs, published as JWKS
//	                                    ▲                                                │
//	                                    └── stored again when the database was lost ─────┘
//
// There is one key so far, unless a process started for the first time on a lost
// database before another one had stored its own again. The private half is
// sealed under a key of the service's own and is in clear only in the memory of a
// process that signs.
package signing
