// Package devstack runs a private PostgreSQL, RabbitMQ and S3 for development
// and tests, as children of the calling process.
//
//	Start ─▶ lock the data directory
//	      ─▶ find each program: address in the environment → installed
//	         → Docker → the distribution's package manager
//	      ─▶ all at the same time, each until it answers
//	Stop  ─▶ S3, RabbitMQ, PostgreSQL, epmd
//
// The servers listen on 127.0.0.1 only, with generated passwords. They are
// gone when the calling process is, also after kill -9, and the next start in
// the same data directory finds their data whole. A container of Docker may
// outlive a kill -9; then the next start ends it first.
package devstack
