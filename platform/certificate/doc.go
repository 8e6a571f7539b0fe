// Package certificate is how services know one another: mutual TLS 1.3 with one
// certificate for each service, signed by a small authority of the
// installation's own.
//
//	ca.pem ca.key ── MakeAuthority ──▶ identity.pem identity.key …
//	                                       │ Load
//	     gateway: ClientTLS("identity") ◀──┴──▶ identity: ServerTLS ── CallerOf = "gateway"
//
// A service's name stands in its certificate as a URI, spiffe://muster/identity
// (after the SPIFFE ID specification). Whoever has a PKI puts such files in the
// folder and leaves MakeAuthority out. Certificates are read at start: those of
// MakeAuthority are good for a year and renewed when fewer than 30 days are left.
package certificate
