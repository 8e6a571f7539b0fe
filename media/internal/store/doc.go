// Package store keeps what media keeps beside its event log: it reads the rows of
// the projection "files", and owns the rows of objects and of uploads that are not
// completed. Its SQL stands in queries/, its tables in migrations/.
package store
