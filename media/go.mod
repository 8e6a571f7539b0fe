module github.com/muster-id/muster/media

go 1.26.0

require (
	github.com/muster-id/muster/proto v0.0.0
	github.com/muster-id/muster/eventstore v0.0.0
	github.com/muster-id/muster/platform v0.0.0
)

replace (
	github.com/muster-id/muster/proto => ../proto
	github.com/muster-id/muster/eventstore => ../eventstore
	github.com/muster-id/muster/platform => ../platform
)
