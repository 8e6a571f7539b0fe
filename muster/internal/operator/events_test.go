package operator_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster-id/muster/muster/internal/operator"
	"github.com/muster-id/muster/muster/internal/operator/operatortest"
	"github.com/muster-id/muster/platform/reason"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

func happened(second int, id string) *musterv1.RecordedEvent {
	return &musterv1.RecordedEvent{Id: id, Stream: "user-1", OccurredAt: timestamppb.New(operatortest.Begun().Add(time.Duration(second) * time.Second))}
}

// Lists go through all pages of all logs, the newest first, and stop where they are
// told to; who does not answer is told beside the others' events.
func TestEventsOfAllLogsAreShown(t *testing.T) {
	t.Parallel()
	w := operatortest.Start(t)
	for i := range 700 {
		w.Logs[[]string{"identity", "media"}[i%2]].Append(happened(i, fmt.Sprint(i)))
	}
	client := open(t, w)
	list := func(most int) (ids []string, err error) {
		err = client.Events(t.Context(), &musterv1.ListEventsRequest{}, most, func(event *musterv1.RecordedEvent) error {
			ids = append(ids, event.GetId())
			return nil
		})
		return ids, err
	}
	if all, err := list(0); err != nil || len(all) != 700 || all[0] != "699" || all[699] != "0" {
		t.Errorf("%d events, %v", len(all), err)
	}
	if some, err := list(3); err != nil || !slices.Equal(some, []string{"699", "698", "697"}) {
		t.Errorf("%v, %v", some, err)
	}
	w.Logs["media"].Fail(reason.New(musterv1.Reason_REASON_UNAVAILABLE))
	some, err := list(2)
	var away *operator.ServiceError
	if !slices.Equal(some, []string{"698", "696"}) || !errors.As(err, &away) || away.Service != "media" {
		t.Errorf("%v, %v", some, err)
	}
	stop := errors.New("enough")
	if err := client.Events(t.Context(), &musterv1.ListEventsRequest{}, 0, func(*musterv1.RecordedEvent) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("%v", err)
	}
}

// A tail begins with what is there, and goes on through an outage: each event once.
func TestATailGoesOnWhereItWasAfterAnOutage(t *testing.T) {
	t.Parallel()
	w := operatortest.Start(t)
	w.Logs["identity"].Append(happened(1, "1"), happened(2, "2"), happened(4, "4"))
	w.Logs["media"].Append(happened(3, "3"))
	client := open(t, w)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	seen, away, back, ended := make(chan string, 100), make(chan error, 10), make(chan struct{}, 10), make(chan error, 1)
	go func() {
		ended <- client.Tail(ctx, operator.Tailing{
			Request: &musterv1.WatchEventsRequest{},
			Before:  3,
			Away:    func(err error) { away <- err },
			Back:    func() { back <- struct{}{} },
		}, func(event *musterv1.RecordedEvent) error {
			seen <- event.GetId()
			return nil
		})
	}()
	expects := func(want ...string) {
		t.Helper()
		for _, id := range want {
			select {
			case got := <-seen:
				if got != id {
					t.Errorf("showed %s, want %s", got, id)
				}
			case err := <-ended:
				t.Fatal(err)
			}
		}
	}
	expects("2", "3", "4")
	w.Logs["identity"].Append(happened(5, "5"))
	expects("5")
	w.Logs["media"].Fail(reason.New(musterv1.Reason_REASON_UNAVAILABLE))
	if err := <-away; !strings.Contains(err.Error(), "media") {
		t.Errorf("away: %v", err)
	}
	w.Logs["identity"].Append(happened(6, "6"))
	w.Logs["media"].Append(happened(7, "7"))
	w.Logs["media"].Fail(nil)
	<-back
	got := []string{<-seen, <-seen}
	if slices.Sort(got); !slices.Equal(got, []string{"6", "7"}) {
		t.Errorf("after the outage came %v", got)
	}
	w.Logs["identity"].Append(happened(8, "8"))
	expects("8")
	w.Logs["identity"].Fail(reason.New(musterv1.Reason_REASON_EPOCH_CHANGED))
	if err := <-ended; reason.Of(err) != musterv1.Reason_REASON_EPOCH_CHANGED {
		t.Errorf("ended with %v", err)
	}
}
