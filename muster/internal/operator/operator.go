package operator

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sync/errgroup"

	"github.com/muster-id/muster/platform/certificate"
	"github.com/muster-id/muster/platform/overview"
	"github.com/muster-id/muster/platform/serve"
	"github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1/eventlogv1connect"
	"github.com/muster-id/muster/proto/gen/go/muster/projection/v1/projectionv1connect"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// certificateName is under whom the services know us.
const certificateName = "operator"

const (
	// pause between two looks at an operation.
	pause = 250 * time.Millisecond
	// patience is for how long a service may be away while somebody waits for it.
	patience = time.Minute
)

// Client calls the services that have projections. It is safe for concurrent use.
type Client struct {
	clients  map[string]projectionv1connect.ProjectionServiceClient
	logs     map[string]eventlogv1connect.LogServiceClient
	events   overview.Logs
	idle     []*http.Client
	pause    time.Duration
	patience time.Duration
}

// Open reads the certificate. It connects to nobody yet; Close it.
func Open(places Places) (*Client, error) {
	self, err := certificate.Load(places.Certificates, certificateName)
	if err != nil {
		return nil, err
	}
	c := &Client{
		clients: make(map[string]projectionv1connect.ProjectionServiceClient, len(services)),
		logs:    make(map[string]eventlogv1connect.LogServiceClient, len(keepers)),
		events:  overview.Logs{Views: make(map[string]eventlogv1connect.EventViewServiceClient, len(keepers)), Timeout: beginBound},
		pause:   pause, patience: patience,
	}
	for _, service := range services {
		client := serve.InternalClient(self, service, places.URLs[service])
		c.clients[service] = projectionv1connect.NewProjectionServiceClient(client, places.URLs[service], serve.ClientInterceptors())
		if slices.Contains(keepers, service) {
			c.logs[service] = eventlogv1connect.NewLogServiceClient(client, places.URLs[service], serve.ClientInterceptors())
			c.events.Views[service] = eventlogv1connect.NewEventViewServiceClient(client, places.URLs[service], serve.ClientInterceptors())
		}
		c.idle = append(c.idle, client)
	}
	return c, nil
}

// Close ends the connections.
func (c *Client) Close() {
	for _, client := range c.idle {
		client.CloseIdleConnections()
	}
}

// Projections gives those of all services, by name. Where a service does not
// answer, it gives those of the others and the error beside them: a
// *ServiceError for each that is missing, joined.
func (c *Client) Projections(ctx context.Context) (*musterv1.ListProjectionsResponse, error) {
	answers, missing, err := ask(c, func(client projectionv1connect.ProjectionServiceClient) (*connect.Response[musterv1.ListProjectionsResponse], error) {
		return client.ListProjections(ctx, connect.NewRequest(&musterv1.ListProjectionsRequest{}))
	})
	all := &musterv1.ListProjectionsResponse{Unreachable: missing}
	for _, answer := range answers {
		all.Projections = append(all.Projections, answer.GetProjections()...)
	}
	slices.SortFunc(all.Projections, func(a, b *musterv1.Projection) int { return strings.Compare(a.GetName(), b.GetName()) })
	return all, err
}

// ParkedEvents gives those of one projection, or of all where none is named:
// the first thousand of each, those that were parked first in front. Services
// that do not answer are told as by Projections.
func (c *Client) ParkedEvents(ctx context.Context, projection string) (*musterv1.ListParkedEventsResponse, error) {
	listed, missing, err := events(ctx, c, projection, func(client projectionv1connect.ProjectionServiceClient) (*connect.Response[musterv1.ListParkedEventsResponse], error) {
		return client.ListParkedEvents(ctx, connect.NewRequest(&musterv1.ListParkedEventsRequest{Projection: projection}))
	}, (*musterv1.ListParkedEventsResponse).GetEvents)
	if err != nil && missing == nil {
		return nil, err
	}
	slices.SortStableFunc(listed, func(a, b *musterv1.ParkedEvent) int {
		return a.GetParkedAt().AsTime().Compare(b.GetParkedAt().AsTime())
	})
	return &musterv1.ListParkedEventsResponse{Events: listed, Unreachable: missing}, err
}

// SkippedEvents gives those that were left out, of one projection or of all where
// none is named: the last thousand of each, those that were left out last in
// front. Services that do not answer are told as by Projections.
func (c *Client) SkippedEvents(ctx context.Context, projection string) (*musterv1.ListSkippedEventsResponse, error) {
	listed, missing, err := events(ctx, c, projection, func(client projectionv1connect.ProjectionServiceClient) (*connect.Response[musterv1.ListSkippedEventsResponse], error) {
		return client.ListSkippedEvents(ctx, connect.NewRequest(&musterv1.ListSkippedEventsRequest{Projection: projection}))
	}, (*musterv1.ListSkippedEventsResponse).GetEvents)
	if err != nil && missing == nil {
		return nil, err
	}
	slices.SortStableFunc(listed, func(a, b *musterv1.SkippedEvent) int {
		return b.GetSkippedAt().AsTime().Compare(a.GetSkippedAt().AsTime())
	})
	return &musterv1.ListSkippedEventsResponse{Events: listed, Unreachable: missing}, err
}

// Projection finds the one of that name. The error is ErrNoProjection, with the
// services that could not be asked and the names that there are.
func (c *Client) Projection(ctx context.Context, name string) (*Projection, error) {
	all, err := c.Projections(ctx)
	var known []string
	for _, each := range all.GetProjections() {
		if each.GetName() == name {
			return c.Of(each.GetService(), name)
		}
		known = append(known, each.GetName())
	}
	switch {
	case len(known) == 0 && err != nil:
		return nil, err
	case err != nil: // it may be theirs
		return nil, errors.Join(err, fmt.Errorf("%q: %w in the other services: they have %s", name, ErrNoProjection, strings.Join(known, ", ")))
	}
	return nil, fmt.Errorf("%q: %w: there are %s", name, ErrNoProjection, strings.Join(known, ", "))
}

// Listed is how many events of a projection a service lists at most.
const Listed = 1000

// Parker finds the one projection that has this stream parked.
func (c *Client) Parker(ctx context.Context, stream string) (*Projection, error) {
	all, err := c.ParkedEvents(ctx, "")
	var at []*musterv1.ParkedEvent
	for _, event := range all.GetEvents() {
		if event.GetStream() == stream {
			at = append(at, event)
		}
	}
	switch {
	case err != nil: // one that cannot be asked may have it too
		return nil, err
	case len(at) == 0 && len(all.GetEvents()) >= Listed:
		return nil, fmt.Errorf("%s is not among the first that are parked: name the projection before it", stream)
	case len(at) == 0:
		return nil, fmt.Errorf("%s: %w", stream, ErrNotParked)
	case len(at) > 1:
		var names []string
		for _, event := range at {
			names = append(names, event.GetProjection())
		}
		slices.Sort(names)
		return nil, fmt.Errorf("%s: %w: name one of %s before it", stream, ErrAmbiguous, strings.Join(names, ", "))
	}
	return c.Of(at[0].GetService(), at[0].GetProjection())
}

// Of gives a projection of a service without asking whether it is there.
func (c *Client) Of(service, projection string) (*Projection, error) {
	client, known := c.clients[service]
	if !known {
		return nil, fmt.Errorf("projection %s: it is of %q, which is no service of ours", projection, service)
	}
	return &Projection{name: projection, service: service, client: client, pause: c.pause, patience: c.patience}, nil
}

// events asks the service of one projection for events, or all services where
// none is named. Without services that are missing, its error is that nothing
// could be asked.
func events[T, E any](ctx context.Context, c *Client, projection string, call func(projectionv1connect.ProjectionServiceClient) (*connect.Response[T], error),
	of func(*T) []E,
) (listed []E, missing []string, err error) {
	if projection != "" {
		p, err := c.Projection(ctx, projection)
		if err != nil {
			return nil, nil, err
		}
		answer, err := call(p.client)
		if err != nil {
			return nil, nil, from(p.service, err)
		}
		return of(answer.Msg), nil, nil
	}
	answers, missing, err := ask(c, call)
	for _, answer := range answers {
		listed = append(listed, of(answer)...)
	}
	return listed, missing, err
}

// ask asks all services at once. What it gives is in the order of services.
func ask[T any](c *Client, call func(projectionv1connect.ProjectionServiceClient) (*connect.Response[T], error)) (answers []*T, missing []string, err error) {
	all, failed := make([]*T, len(services)), make([]error, len(services))
	var asked errgroup.Group
	for i, service := range services {
		asked.Go(func() error {
			answer, err := call(c.clients[service])
			if err != nil {
				failed[i] = from(service, err)
				return nil // the others are asked all the same
			}
			all[i] = answer.Msg
			return nil
		})
	}
	_ = asked.Wait()
	for i, service := range services {
		if failed[i] != nil {
			missing = append(missing, service)
			continue
		}
		answers = append(answers, all[i])
	}
	return answers, missing, errors.Join(failed...)
}
