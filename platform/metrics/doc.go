// Package metrics lets Prometheus look into a service.
//
//	calls of the server ────────────┐
//	stats of log, forwarder, ───────┼──▶ Metrics: one registry for each service ──▶ GET /metrics
//	projections, pools, databases   ┘                                              on an address of its own
//
// Four services may share a process, so nothing here is global. What is counted
// elsewhere is read when Prometheus asks, by sources, functions of basic types
// alone: a package that knows neither this one nor Prometheus can have one.
//
// No label carries anything of a person or an address. Labels are procedures of
// ours, Connect codes, and names given in code.
package metrics
