// Command bench measures Muster against limits and rivals of the same run:
//
//	go tool task bench -- --only rebuild --out docs/benchmarks.md
//
// It starts what `muster up --separate` starts, on a data directory of its own,
// so that each service's memory and time are its own. Every figure is a ratio
// to a limit or a rival that was measured in turn with it, round by round: on a
// busy machine both are slow. What misses its bound is printed as MISSED.
//
//	main.go         flags, and the list of measurements
//	compare.go      rounds in which the sides take turns
//	report.go       rows and curves, as they are judged and written
//	plot.go         figures of the curves
//	stats.go        medians, percentiles, exponents
//	world.go        the system that is measured, and ways into it
//	population.go   whom the log is filled with: pure
//	fill.go         how: sealed as commands seal, copied in bulk
//	keys.go         under which keys of the keyring
//	baseline.go     the rivals: the eventlog stream alone, a plain read
//	arena.go        PostgreSQL alone, where appends and plain statements compete
//	append.go       measurement: appends, imports, and how their cost grows
//	storage.go      measurement: bytes an event
//	register.go     measurement: registrations against bare hashes
//	locks.go        measurement: waits for locks while all write
//	rebuild.go      measurement: rebuilding the access projection
//	live.go         measurement: lag and sign-ins while it is rebuilt
//	backlog.go      measurement: a backlog over RabbitMQ into the rows of access
//	stock.go        its rival: the same made of Watermill's stock parts
//	brokeralone.go  its limit: RabbitMQ with nothing before or behind it
//	lag.go          measurement: lag of live events at a steady rate
//	bareway.go      its limit: a commit, a confirm and a delivery alone
//	process.go      memory, processor time and profiles of the services' processes
//	facts.go        what the figures depend on
//
// To add a measurement, write a function like those and name it in main.go.
package main
