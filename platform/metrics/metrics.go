package metrics

import (
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Emit takes one value of a metric. A name that ends in _total is a counter's,
// any other a gauge's; labels are names and values in turn. All values of a name
// have to come with the same help and the same names of labels.
type Emit = func(name, help string, value float64, labels ...string)

// Source gives its metrics when Prometheus asks. It must not block.
type Source = func(emit Emit)

// secondsBuckets reach from a look into memory to the longest time-out of a call.
var secondsBuckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}

// Metrics are those of one service. It is safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry

	inFlight prometheus.Gauge
	calls    *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

// New makes the metrics of a service, with those of its calls and of the Go
// runtime in them.
func New() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "muster_calls_in_flight",
			Help: "Calls that are being answered now, streams included.",
		}),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "muster_calls_total",
			Help: "Calls answered, by procedure (http for what is no RPC) and by outcome: ok, the Connect code of the error, or the HTTP status.",
		}, []string{"procedure", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "muster_call_seconds",
			Help:    "How long calls took until they were answered. Reading a log at its head waits there for up to 5 s.",
			Buckets: secondsBuckets,
		}, []string{"procedure"}),
	}
	m.registry.MustRegister(m.inFlight, m.calls, m.seconds,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Add adds sources.
func (m *Metrics) Add(sources ...Source) {
	for _, source := range sources {
		m.registry.MustRegister(collector{source})
	}
}

// Begin counts a call that has come in.
func (m *Metrics) Begin() { m.inFlight.Inc() }

// End counts a call that is answered: procedure and code are of sets that no
// caller can widen.
func (m *Metrics) End(procedure, code string, took time.Duration) {
	m.inFlight.Dec()
	m.calls.WithLabelValues(procedure, code).Inc()
	m.seconds.WithLabelValues(procedure).Observe(took.Seconds())
}

// collector makes a Source one of Prometheus'.
type collector struct{ source Source }

var _ prometheus.Collector = collector{}

// Describe says nothing, since a source is only known by what it gives.
func (collector) Describe(chan<- *prometheus.Desc) {}

// Collect asks the source. What it has made wrong shows in the answer to
// Prometheus, and nowhere else.
func (c collector) Collect(out chan<- prometheus.Metric) {
	c.source(func(name, help string, value float64, labels ...string) {
		kind := prometheus.GaugeValue
		if strings.HasSuffix(name, "_total") {
			kind = prometheus.CounterValue
		}
		if len(labels)%2 != 0 {
			out <- prometheus.NewInvalidMetric(prometheus.NewInvalidDesc(errLabels), fmt.Errorf("%s: %w", name, errLabels))
			return
		}
		var names, values []string
		for i := 0; i < len(labels); i += 2 {
			names, values = append(names, labels[i]), append(values, labels[i+1])
		}
		desc := prometheus.NewDesc(name, help, names, nil)
		metric, err := prometheus.NewConstMetric(desc, kind, value, values...)
		if err != nil {
			metric = prometheus.NewInvalidMetric(desc, err)
		}
		out <- metric
	})
}
