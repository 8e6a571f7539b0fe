// Package signing keeps the keys that access tokens are signed with.
//
//	made at the first start ──▶ sealed, in the database ──▶ opened at each start ──▶ signs, published as JWKS
//
// There is one key so far: nothing makes a second, and a process knows the keys
// that it has started with. The private half is sealed under a key of the
// service's own and is in clear only in the memory of a process that signs.
package signing
