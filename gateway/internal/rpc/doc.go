// Package rpc is the public API, package muster.v1: thin conversions between
// what people send and what the services behind the gateway understand.
//
//	Register ──▶ enumeration.Limit ──▶ identity.RegisterUser ──▶ credentials.AwaitAccess ──▶ signInReady
//	Login, RefreshToken, Logout ──▶ credentials; the refresh token goes to body or cookie
//	ChangePassword ──▶ identity ──▶ credentials.EndSessions ──▶ AwaitAccess
//	GetMe, UpdateMe ──▶ identity
//	AdminService ──▶ identity ──▶ credentials.AwaitAccess ──▶ signInReady
//	ListUsers ──▶ identity.Await, when it has to show something ──▶ identity.ListUsers ──▶ page.Seal
//	UploadAvatar, DeleteAvatar ──▶ media ──▶ identity.Await ──▶ shown
//	the rest of MediaService ──▶ media
//	OperationsService ──▶ the ProjectionService of each, at once
//	EventService ──▶ the EventViewService of each that keeps a log, as one: platform/overview
//	CheckServices ──▶ the StatusService of each, at once
//
// Rules are not decided here: they stand in the proto and in the services, whose
// errors pass through with their reason. What is decided here concerns the
// outside alone: the consistency token, the page token, the cookie and where it
// may come from, the Idempotency-Key, and how much a stranger may find out.
package rpc
