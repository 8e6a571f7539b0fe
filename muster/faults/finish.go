package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/muster-id/muster/eventstore/backoff"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// settleBound is how long the projections may take to hold all of their logs
// once every part is back.
const settleBound = 2 * time.Minute

// finish looks at everything once every part is back: it repeats what is
// unknown, has the projections verified, and gives what is wrong.
func (r *run) finish(ctx context.Context, before int64) (complaints []string, err error) {
	complain := func(format string, arguments ...any) {
		complaints = append(complaints, fmt.Sprintf(format, arguments...))
	}
	repeated, inconsistent := r.repeat(ctx)
	complaints = append(complaints, inconsistent...)
	r.say("%d writes were repeated under their keys", repeated)
	projections, behind := r.settled(ctx)
	if behind != "" {
		complain("%s after every part has been back for %s", behind, settleBound)
	}
	for _, p := range projections {
		differing, err := r.verify(ctx, p)
		if err != nil {
			complain("verify %s: %v", p.GetName(), err)
			continue
		}
		if differing > 0 {
			complain("%d rows of %s differ from a rebuild", differing, p.GetName())
		}
	}
	parked, err := r.world.operator.ParkedEvents(ctx, "")
	if err != nil {
		complain("look for parked events: %v", err)
	}
	for _, event := range parked.GetEvents() {
		complain("%s is parked in %s", event.GetStream(), event.GetProjection())
	}
	log, err := r.log(ctx, before)
	if err != nil {
		return complaints, err
	}
	r.logged = log
	return append(complaints, check(r.history, log, r.away)...), nil
}

// repeat sends again what nobody knows the end of, and every tenth write that
// was acknowledged, which must be answered as before.
func (r *run) repeat(ctx context.Context) (repeated int, complaints []string) {
	r.history.mutex.Lock()
	writes := append([]*write(nil), r.history.writes...)
	r.history.mutex.Unlock()
	var mutex sync.Mutex
	var group errgroup.Group
	group.SetLimit(8)
	for i, w := range writes {
		if w.told == refused || w.told == acknowledged && i%10 > 0 {
			continue
		}
		repeated++
		before := w.told
		group.Go(func() error {
			got := r.world.follow(ctx, w)
			mutex.Lock()
			defer mutex.Unlock()
			switch {
			case before == acknowledged && !got.ok():
				complaints = append(complaints, fmt.Sprintf("%s with key %s was acknowledged, and repeated it was answered with %s (request %s)", w.kind, w.key, got.label(), got.request))
			case before == acknowledged && got.text("userId") != "" && "user-"+got.text("userId") != w.stream:
				complaints = append(complaints, fmt.Sprintf("%s with key %s made %s, and repeated it was answered with %s (request %s)", w.kind, w.key, w.stream, got.text("userId"), got.request))
			case w.told == unknown:
				complaints = append(complaints, fmt.Sprintf("%s with key %s is not answered although every part is back: %s (request %s)", w.kind, w.key, got.label(), got.request))
			}
			return nil
		})
	}
	_ = group.Wait() // they give no errors
	return repeated, complaints
}

// settled waits until each projection holds all of its log, or says which does not.
func (r *run) settled(ctx context.Context) (all []*musterv1.Projection, behind string) {
	bounded, cancel := context.WithTimeout(ctx, settleBound)
	defer cancel()
	for {
		answer, err := r.world.operator.Projections(bounded)
		behind = ""
		if err != nil {
			behind = err.Error()
		}
		for _, p := range answer.GetProjections() {
			if p.GetState() != musterv1.ProjectionState_PROJECTION_STATE_LIVE || p.GetLagEvents() > 0 {
				behind = fmt.Sprintf("%s is %s and %d events behind", p.GetName(), p.GetState(), p.GetLagEvents())
			}
		}
		if len(answer.GetProjections()) > 0 {
			all = answer.GetProjections()
		}
		if behind == "" || backoff.Sleep(bounded, 200*time.Millisecond) != nil {
			return all, behind
		}
	}
}

// verify compares the rows of a projection with those of a rebuild.
func (r *run) verify(ctx context.Context, p *musterv1.Projection) (differing int64, err error) {
	projection, err := r.world.operator.Of(p.GetService(), p.GetName())
	if err != nil {
		return 0, err
	}
	operation, err := projection.Verify(ctx)
	if err != nil {
		return 0, err
	}
	ended, err := projection.Watch(ctx, operation, silent{})
	if err != nil {
		return 0, err
	}
	if state := ended.GetOperation().GetState(); state != musterv1.OperationState_OPERATION_STATE_DONE {
		return 0, fmt.Errorf("it ended as %s: %s", state, ended.GetOperation().GetProblem())
	}
	r.verified = append(r.verified, fmt.Sprintf("%s (%d rows)", p.GetName(), ended.GetOperation().GetVerification().GetRows()))
	return ended.GetOperation().GetVerification().GetDiffering(), nil
}

// silent watches an operation and tells nobody.
type silent struct{}

func (silent) Progress(*musterv1.Operation) {}
func (silent) Again(*musterv1.Operation)    {}
func (silent) Away(error)                   {}
func (silent) Back()                        {}

// end gives the last offset of identity's log.
func (r *run) end(ctx context.Context) (offset int64, err error) {
	conn, err := r.world.database(ctx, identity)
	if err != nil {
		return 0, err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is pending
	err = conn.QueryRow(ctx, `SELECT coalesce(max("offset"), 0) FROM log.events`).Scan(&offset)
	return offset, err
}

// log reads the events of the run, which are those after an offset, and all keys.
func (r *run) log(ctx context.Context, after int64) (logged, error) {
	var l logged
	conn, err := r.world.database(ctx, identity)
	if err != nil {
		return l, err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is pending
	rows, err := conn.Query(ctx, `SELECT stream_id, stream_version, type, coalesce(metadata ->> 'requestId', '') FROM log.events WHERE "offset" > $1 ORDER BY "offset"`, after)
	if err != nil {
		return l, fmt.Errorf("read the log: %w", err)
	}
	for rows.Next() {
		var e event
		if err := rows.Scan(&e.stream, &e.version, &e.kind, &e.request); err != nil {
			return l, fmt.Errorf("read the log: %w", err)
		}
		e.kind = e.kind[strings.LastIndexByte(e.kind, '.')+1:]
		l.events = append(l.events, e)
	}
	if err := rows.Err(); err != nil {
		return l, fmt.Errorf("read the log: %w", err)
	}
	rows, err = conn.Query(ctx, `SELECT key, stream_id, stream_version FROM log.commands`)
	if err != nil {
		return l, fmt.Errorf("read the keys: %w", err)
	}
	for rows.Next() {
		var c command
		if err := rows.Scan(&c.key, &c.stream, &c.version); err != nil {
			return l, fmt.Errorf("read the keys: %w", err)
		}
		l.commands = append(l.commands, c)
	}
	return l, rows.Err()
}
