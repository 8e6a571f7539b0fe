module github.com/muster-id/muster/media

go 1.26.0
