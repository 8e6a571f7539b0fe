// Package identity is the service that knows who people are. It owns the event
// log "identity" and the keyring that its events are sealed under.
//
//	gateway ──commands, GetProfile, GetUser──▶ internal/rpc ─▶ internal/app
//	   │                                                         │ internal/user decides
//	   │                                                         ├─ eventstore/seal ─▶ internal/keyring ─▶ keyring database
//	   │                                                         ▼
//	   │                        identity database, schema log: events, commands, reservations
//	   │                                │                        │                 │
//	   │      credentials, media ◀── EventLogService             ▼                 └─ forwarder ─▶ RabbitMQ
//	   └──ListUsers──▶ read.users ◀── internal/users ◀── what was appended
//	                   read.avatars ◀── internal/avatars ◀── media's log
//	                   keys destroyed ◀── internal/eraser ◀── UserErased
package identity
