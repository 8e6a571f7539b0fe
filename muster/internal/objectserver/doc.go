// Package objectserver is the S3 that a private stack runs: versitygw over a
// directory, in a process of its own, so that a fault can end it.
//
//	muster up ─▶ platform/devstack ─▶ `muster s3`, a child ─▶ Run
//
// It is for development and tests. A deployment brings its own S3; media speaks
// to both alike.
package objectserver
