// Package observed is a service as its operators see it.
//
//	parts ─▶ checks ─▶ status.Monitor ─▶ StatusService ─▶ gateway: CheckServices
//	  │                      └─────┐
//	  ├─▶ metrics of their own ────┴─▶ metrics.Metrics ─▶ Prometheus
//	  └─▶ spans ─▶ telemetry.Tracing ─▶ collector
package observed
