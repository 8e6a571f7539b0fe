// Package token makes and checks access tokens: JWTs (RFC 7519) of the type
// at+jwt (RFC 9068), signed with Ed25519 (RFC 8037).
//
//	credentials: Signer ──▶ token ──▶ every service: Verifier ── kid ──▶ RemoteKeys ──▶ credentials' JWKS
//
// Verify trusts nothing that the token says about itself: the algorithm, the
// type, the issuer and the audience are fixed beforehand, and the key id only
// chooses among keys that the issuer has published.
package token
