package system

import (
	"context"

	"golang.org/x/sync/errgroup"

	"github.com/muster-id/muster/platform/database"
	"github.com/muster-id/muster/platform/secret"
)

// schemas of each database.
var schemas = map[string][]string{
	"identity":    {"log", "read"},
	"keyring":     {"keyring"},
	"credentials": {"read", "sessions"},
	"media":       {"log", "read", "storage"},
}

// provision makes the databases that are missing and gives the addresses of
// all, by name.
func provision(ctx context.Context, admin secret.String, keep secrets) (map[string]database.URLs, error) {
	type made struct {
		name string
		urls database.URLs
	}
	results := make(chan made, len(schemas))
	group, ctx := errgroup.WithContext(ctx)
	for name := range schemas {
		spec, err := specOf(name, keep)
		if err != nil {
			return nil, err
		}
		group.Go(func() error {
			urls, err := database.Provision(ctx, admin, spec)
			results <- made{name, urls}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	close(results)
	all := make(map[string]database.URLs, len(schemas))
	for result := range results {
		all[result.name] = result.urls
	}
	return all, nil
}

// specOf says what a service needs on the server.
func specOf(name string, keep secrets) (database.Spec, error) {
	owner, err := keep.value("postgres-" + name + "-owner")
	if err != nil {
		return database.Spec{}, err
	}
	runtime, err := keep.value("postgres-" + name)
	if err != nil {
		return database.Spec{}, err
	}
	return database.Spec{
		Database: "muster_" + name,
		Owner:    database.Login{Name: "muster_" + name + "_owner", Password: owner},
		Runtime:  database.Login{Name: "muster_" + name, Password: runtime},
		Schemas:  schemas[name],
		// The one database that holds nothing but what can be made again. A log
		// that is lost has to be seen.
		OwnerCreates: name == "credentials",
	}, nil
}
