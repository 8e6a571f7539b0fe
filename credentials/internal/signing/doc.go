// Package signing keeps the keys that access tokens are signed with.
//
//	created ──▶ published ──activates_at──▶ signs ──retires_at──▶ published ──a token's life later──▶ gone
//
// The state of a key follows from its times, so that all replicas agree on it
// without a word. The private half is sealed under a key of the service's own
// and is in clear only in the memory of a process that signs.
package signing
