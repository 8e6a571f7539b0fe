// Package status tells how the parts are that a service depends on.
//
//	probe ─▶ Monitor, every 5 s or so ─▶ state, latency, since ─▶ StatusService ─▶ gateway: CheckServices
//	         (each by itself, in the background)        │
//	                                                    └─▶ a log line when it changes, a metric
//
// Nobody waits for a probe, so a dependency that hangs holds no caller up. What
// is told goes to operators: a problem is a few words of ours, without addresses,
// names or secrets; the error behind it goes to the log.
package status
