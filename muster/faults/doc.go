// Command faults runs Muster while its parts fail, and checks what its clients
// were told.
//
//	clients ─▶ gateway ─▶ proxies ─▶ services ─▶ proxies ─▶ PostgreSQL, RabbitMQ, S3
//	   │                     ▲           ▲                      ▲
//	   ▼                     └───────────┴── faults ────────────┘
//	history ─▶ check ◀─ the log, the projections
//
//	main.go      flags, and the order of a run
//	world.go     the system under test
//	network.go   a proxy on each connection between two parts
//	plan.go      which part fails how and when, from a seed
//	fault.go     makes it fail and brings it back
//	probe.go     how long until what needs the part succeeds
//	session.go   what a client does, and that it reads its own writes
//	caller.go    one call of the API, and what its answer says
//	history.go   what each client was told
//	check.go     the rules that hold in the end
//	finish.go    the end: unknown writes are repeated, projections verified
//	report.go    the tables
//
// docs/faults.md tells how to read it.
package main
