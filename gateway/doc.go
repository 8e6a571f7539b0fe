// Package gateway is the public door of Muster: package muster.v1 over Connect
// JSON, gRPC and gRPC-Web on one port, in front of identity, credentials and
// media, which it calls over mTLS. It keeps nothing.
//
//	browser / curl ──▶ serve.Server: request id, client address
//	                     ──▶ site.SecureHeaders ──▶ browser.Policy: CORS, own origin ──▶ picture.LimitBodies
//	                           ──▶ mux ──▶ Connect: access ─▶ codec ─▶ rules ─▶ internal/rpc ──▶ identity, credentials, media
//	                                ├────▶ internal/picture: PUT /me/avatar, /avatars, /files ──▶ internal/rpc
//	                                ├────▶ internal/site: index, livez, readyz, jwks.json
//	                                └────▶ internal/docs: /docs, openapi.yaml
package gateway
