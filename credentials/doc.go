// Package credentials is the service that decides who may come in.
//
//	identity's log ──▶ projection "access" ──▶ read.access ─┐
//	                                                         ├─▶ Login ──▶ access token, session
//	gateway ──gRPC·mTLS──▶ internal/rpc ──▶ internal/app ────┤
//	                                                         └─▶ Refresh, Logout, EndSessions ──▶ sessions.sessions
//
//	internal/access   the projection: what the identity log says about who may come in
//	internal/session  the rules of sessions and refresh tokens
//	internal/signing  the keys of access tokens
//	internal/app      commands and queries; app.go lists them
//	internal/store    tables and SQL
//	internal/rpc      the Connect edge
//
// It emits no events: sessions and sign-ins are not facts of the domain, and
// live in tables of their own with an end.
package credentials
