// Package store keeps what credentials keeps: it reads the rows of the access
// projection and owns sessions, rehashed verifiers and signing keys, which do
// not come from the log. Its SQL stands in queries/, its tables in migrations/.
package store
