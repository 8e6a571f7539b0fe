package eventlog

// Every log may hold these events, so whoever reads logs knows them.
import _ "github.com/muster-id/muster/proto/gen/go/muster/eventlog/events/v1"
