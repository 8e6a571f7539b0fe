// Package reason makes errors that a client can act on. The table of reasons
// stands in muster/v1/errors.proto; this package reads it and nothing repeats it.
//
//	aggregate, store, verifier ── error ──▶ handler
//	                                          │ reason.New(USERNAME_TAKEN, Field("username"))
//	                                          ▼
//	                       NewInterceptor: Final ── request id ──▶ client
//	                                          └── cause ──▶ log
//
// An error of New crosses services intact: Of answers the same on both sides.
// What is lost on the way is its cause, on purpose. Whatever else a handler
// returns becomes INTERNAL or UNAVAILABLE, and its text stays in the log.
package reason
