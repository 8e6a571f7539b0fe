// Package system starts all of Muster on one machine: the servers, the
// databases, the secrets, and then the services, either inside this process or
// as one process each.
//
//	servers.go    PostgreSQL, RabbitMQ and S3, from platform/devstack
//	databases.go  a database and two roles for each service
//	secrets.go    keys and passwords, made once, kept in files of mode 0600
//	settings.go   the environment that each service is configured with
//	service.go    a service inside this process, or as a child
//	system.go     the order of all this, and the way back
//	again.go      ends and starts single services, for runs with faults
//
// A service is configured in the same way wherever it runs: through the
// settings that `muster serve SERVICE --help` lists.
package system
