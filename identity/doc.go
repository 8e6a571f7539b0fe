// Package identity is the service that knows who people are. It owns the event
// log "identity" and the keyring that its events are sealed under.
//
//	gateway ──RegisterUser, ChangePassword, GetProfile, UpdateProfile──▶ internal/rpc ─▶ internal/app
//	                                                                                       │ internal/user decides
//	                      keyring database ◀─ internal/keyring ◀─ eventstore/seal ◀────────┤
//	                                                                                       ▼
//	                                                    identity database, schema log: events, commands, reservations
//	                                                                  │                    │
//	credentials ◀── EventLogService, KeyringService ──────────────────┘                    └─ forwarder ─▶ RabbitMQ
package identity
