// Package telemetry says what happened and to which call: the logger, the
// request's id, and the trace that ties the services of one call together.
//
//	browser ──▶ Middleware: request id, client's address, span ──▶ handler
//	                 │                                               │ context
//	                 └── X-Request-Id                     slog: request_id, trace_id, user_id
//
// The edge makes the request id; services take it over from one another, and
// from nobody else. Spans are made and propagated (W3C Trace Context), and go to
// a collector where the environment names one (tracing.go).
package telemetry
