// Package gateway is the public door of Muster: package muster.v1 over Connect
// JSON, gRPC and gRPC-Web on one port, in front of identity and credentials,
// which it calls over mTLS. It keeps nothing.
//
//	browser / curl ──▶ serve.Server: request id, client address
//	                     ──▶ site.SecureHeaders ──▶ browser.Policy: CORS, own origin
//	                           ──▶ mux ──▶ Connect: access ─▶ codec ─▶ rules ─▶ internal/rpc ──▶ identity, credentials
//	                                └────▶ internal/site: index, livez, readyz, jwks.json
package gateway
