package operator

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"connectrpc.com/connect"

	eventlogv1 "github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1"
)

// ErrNoLog: no service keeps a log of that name.
var ErrNoLog = errors.New("there is no such log")

// Logs tells what has happened to the log of each service that keeps one. Where
// one does not answer, it gives those of the others and a *ServiceError beside them.
func (c *Client) Logs(ctx context.Context) ([]*eventlogv1.DescribeLogResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, beginBound)
	defer cancel()
	var told []*eventlogv1.DescribeLogResponse
	var missing error
	for _, service := range keepers {
		answer, err := c.logs[service].DescribeLog(ctx, connect.NewRequest(&eventlogv1.DescribeLogRequest{}))
		if err != nil {
			missing = errors.Join(missing, from(service, err))
			continue
		}
		told = append(told, answer.Msg)
	}
	return told, missing
}

// RebaseLog begins a new epoch of a log, for a reason that is kept with it.
// Errors: ErrNoLog, *ServiceError.
func (c *Client) RebaseLog(ctx context.Context, log, reason string) (*eventlogv1.RebaseLogResponse, error) {
	client, known := c.logs[log]
	if !known {
		return nil, fmt.Errorf("%q: %w: there are %s", log, ErrNoLog, strings.Join(keepers, ", "))
	}
	ctx, cancel := context.WithTimeout(ctx, beginBound)
	defer cancel()
	answer, err := client.RebaseLog(ctx, connect.NewRequest(&eventlogv1.RebaseLogRequest{Reason: reason}))
	if err != nil {
		return nil, from(log, err)
	}
	return answer.Msg, nil
}
