// Package rpc is the public API, package muster.v1: thin conversions between
// what people send and what identity and credentials understand.
//
//	Register ──▶ identity.RegisterUser ──▶ credentials.AwaitAccess ──▶ signInReady
//	Login, RefreshToken, Logout ──▶ credentials; the refresh token goes to body or cookie
//	ChangePassword ──▶ identity ──▶ credentials.EndSessions ──▶ AwaitAccess
//	GetMe, UpdateMe ──▶ identity
//
// Rules are not decided here: they stand in the proto, in identity and in
// credentials, whose errors pass through with their reason. What is decided
// here concerns the outside alone: the consistency token, the cookie and where
// it may come from, and the Idempotency-Key.
package rpc
