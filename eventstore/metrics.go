package eventstore

// Emit takes one value of a metric. A name that ends in _total is a counter's,
// any other a gauge's; labels are names and values in turn. The parts of the
// library that have a method Metrics give theirs to whoever shows them, so that
// none of them needs to know who that is.
type Emit = func(name, help string, value float64, labels ...string)
