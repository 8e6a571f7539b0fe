package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// precise is a time with what tells events of one second apart.
const precise = "2006-01-02T15:04:05.000Z"

// eventLine is an event on one line: when, where, what; who did it, for whom, from
// where, in which request; what it says.
func eventLine(event *musterv1.RecordedEvent) string {
	parts := []string{
		event.GetOccurredAt().AsTime().Format(precise),
		event.GetLog(),
		fmt.Sprintf("%s@%d", event.GetStream(), event.GetVersion()),
		last(event.GetType()),
	}
	for _, part := range [][2]string{
		{"by ", event.GetActor()},
		{"for ", event.GetOnBehalfOf()},
		{"from ", event.GetAddress()},
		{"request ", event.GetRequestId()},
	} {
		if part[1] != "" {
			parts = append(parts, part[0]+part[1])
		}
	}
	if len(event.GetData().GetFields()) > 0 {
		parts = append(parts, dataOf(event))
	}
	switch withheld := strings.Join(event.GetWithheld(), ", "); {
	case event.GetErased():
		parts = append(parts, "(erased: "+withheld+")")
	case withheld != "":
		parts = append(parts, "(sealed: "+withheld+")")
	}
	if event.GetNote() != "" {
		parts = append(parts, "("+event.GetNote()+")")
	}
	return clean(strings.Join(parts, "  "))
}

// dataOf is what an event says, in the JSON that it is kept in.
func dataOf(event *musterv1.RecordedEvent) string {
	text, err := event.GetData().MarshalJSON()
	var compact bytes.Buffer
	if err == nil {
		err = json.Compact(&compact, text)
	}
	if err != nil {
		return "(what it says cannot be written)"
	}
	return compact.String()
}

// writeAccount tells of an account as it stood.
func writeAccount(out io.Writer, told *musterv1.GetUserHistoryResponse, at time.Time) error {
	account := told.GetAccount()
	when := "now"
	if !at.IsZero() {
		when = at.UTC().Format(precise)
	}
	table := newTable(out)
	row := func(name, value string) {
		if value != "" {
			table.row(name, value)
		}
	}
	row("account", account.GetId())
	row("as it stood", when)
	switch {
	case told.GetErased():
		row("erased", "the person has been erased: what was personal is gone")
	case account == nil:
		row("state", "its events cannot be opened")
	}
	if account.GetRegisteredAt() != nil {
		state := "inactive"
		if account.GetActive() {
			state = "active"
		}
		row("state", state)
		row("username", account.GetUsername())
		row("email", account.GetEmail())
		row("name", strings.TrimSpace(account.GetFirstName()+" "+account.GetLastName()))
		row("roles", strings.Join(account.GetRoles(), ", "))
		row("opened", account.GetRegisteredAt().AsTime().Format(precise))
		row("changed", account.GetUpdatedAt().AsTime().Format(precise))
		row("version", fmt.Sprint(account.GetVersion()))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(out)
	return err
}
