// Package database makes a service's database ready and opens it: Provision
// makes roles, database and schemas as a superuser; Migrate runs as the owner,
// under a lock; Open gives the run-time role's pool, which can alter no table
// and neither update nor delete an event.
//
// A database that holds nothing but what can be made again is made by its owner
// where it is missing (Make), also when it is lost while the service runs
// (Keeper).
package database
