// Package serve runs a service's HTTP server and makes its calls to the others.
//
//	listener ─▶ request id, span, caller ─▶ mux ─▶ Connect ─▶ access ─▶ decode ─▶ reasons ─▶ time-out ─▶ rules ─▶ handler
//	              (Server's middleware)                  └───────────────── Interceptors ─────────────────┘
//	                      ▲                                                                                       │
//	                      └──── errors of the mux and of Connect itself are rewritten here                        ▼
//	                            one log line for each request                            ClientInterceptors ─▶ other service
//
// Who may call is decided on the headers, before a body is decoded. Panics and
// all errors pass through reason.Final. What Connect refuses before its
// interceptors run (an unknown path, a wrong content type, a body that cannot
// be decoded) is answered by the middleware with a reason like all else. Each
// request ends in one log line, a span with its outcome, and a Meter's metrics.
package serve
