package main

import (
	"cmp"
	"context"
	_ "embed" // the statements
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/postgres"
	gate "github.com/muster-id/muster/platform/access"
	"github.com/muster-id/muster/platform/password"
	"github.com/muster-id/muster/platform/secret"
	credentialsv1 "github.com/muster-id/muster/proto/gen/go/muster/credentials/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/credentials/v1/credentialsv1connect"
	eventlogv1 "github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1"
	identityv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/identity/v1/identityv1connect"
)

const (
	// sampleEvery is how often is looked at what sessions wait for.
	sampleEvery = 20 * time.Millisecond
	// writersEach is how many write at once in each of the four ways.
	writersEach = 8
	// writing is how long a round writes.
	writing, writingQuick = 20 * time.Second, 3 * time.Second
)

//go:embed queries/activity.sql
var activitySQL string

// measureLocks tells what share of the databases' time the write paths wait for
// locks.
func measureLocks(ctx context.Context, b *bench) error {
	w, err := b.open(ctx, true)
	if err != nil {
		return err
	}
	crew, err := w.writers(ctx)
	if err != nil {
		return err
	}
	conn, err := w.asAdmin(ctx, "identity")
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is pending
	length := writing
	if b.Quick {
		length = writingQuick
	}
	var shares sample
	all := activity{}
	wrote := sample{}
	for round := range b.Runs {
		found := activity{}
		n, err := crew.write(ctx, length, func(ctx context.Context) error { return found.watch(ctx, conn) })
		if err != nil {
			return err
		}
		shares, wrote = append(shares, found.share("Lock")), append(wrote, length.Seconds()/float64(n))
		b.say("locks, round %d of %d: %d of %d samples wait for a lock", round+1, b.Runs, found.of("Lock"), found.all())
		all.add(found)
	}
	b.add(row{
		what:  fmt.Sprintf("lock waits on the write paths, %d writers", 4*writersEach),
		rival: "all time that sessions of the databases work", ratio: shares, reach: atMost(0.05),
		ours: absolute{wrote, eachSecond(1, "commands")},
	})
	b.note("Lock waits: registrations, profile changes, role changes and appends, %d writers each; pg_stat_activity every %s, %d sessions seen at work. They were at: %s. Inside PostgreSQL, LWLocks guard its own structures; WALWrite is the wait for a flush that another session does for both.",
		writersEach, sampleEvery, all.all(), all)
	return nil
}

// waited is what a session waits for; the zero value computes.
type waited struct{ kind, event string }

// activity counts what sessions were at.
type activity map[waited]int

// watch looks until ctx ends.
func (a activity) watch(ctx context.Context, conn *pgx.Conn) error {
	ticks := time.NewTicker(sampleEvery)
	defer ticks.Stop()
	databases := []string{"muster_identity", "muster_keyring", "muster_credentials", "muster_media"}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticks.C:
		}
		// The look itself ends in any case: a connection that is cut off would be lost.
		rows, err := conn.Query(context.WithoutCancel(ctx), activitySQL, databases)
		if err != nil {
			return fmt.Errorf("look at sessions: %w", err)
		}
		var seen waited
		var n int
		if _, err := pgx.ForEachRow(rows, []any{&seen.kind, &seen.event, &n}, func() error {
			a[seen] += n
			return nil
		}); err != nil {
			return fmt.Errorf("look at sessions: %w", err)
		}
	}
}

func (a activity) add(other activity) {
	for seen, n := range other {
		a[seen] += n
	}
}

func (a activity) all() (total int) {
	for _, n := range a {
		total += n
	}
	return total
}

// of counts the waits of a kind.
func (a activity) of(kind string) (total int) {
	for seen, n := range a {
		if seen.kind == kind {
			total += n
		}
	}
	return total
}

// share of all; NaN where nothing was seen.
func (a activity) share(kind string) float64 { return float64(a.of(kind)) / float64(a.all()) }

// String names each wait with its share, the greatest first.
func (a activity) String() string {
	order := slices.SortedFunc(maps.Keys(a), func(x, y waited) int {
		return cmp.Or(a[y]-a[x], strings.Compare(x.kind+x.event, y.kind+y.event))
	})
	texts := make([]string, len(order))
	for i, seen := range order {
		name := "computing"
		if seen != (waited{}) {
			name = seen.kind + " " + seen.event
		}
		texts[i] = fmt.Sprintf("%s %.1f %%", name, 100*float64(a[seen])/float64(a.all()))
	}
	return strings.Join(texts, ", ")
}

// crew are those who write.
type crew struct {
	identity identityv1connect.IdentityServiceClient
	log      *postgres.Log
	filler   *filler
	// people change their profiles, each with a token of theirs; whose roles
	// change are others, by the administrator.
	people []gate.Principal
	others []string
	admin  gate.Principal
}

// writers registers those who write, and signs them in.
func (w *world) writers(ctx context.Context) (*crew, error) {
	identity, err := w.identity()
	if err != nil {
		return nil, err
	}
	credentials, err := w.credentials()
	if err != nil {
		return nil, err
	}
	log, err := postgres.Open(ctx, w.events, logName, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	maker, err := w.maker()
	if err != nil {
		return nil, err
	}
	filler, err := newFiller(ctx, w.events, maker, password.DefaultParams)
	if err != nil {
		return nil, err
	}
	c := &crew{identity: identity, log: log, filler: filler}
	for range writersEach {
		for _, signsIn := range []bool{true, false} {
			who := newcomer()
			registered, err := identity.RegisterUser(ctx, connect.NewRequest(who))
			if err != nil {
				return nil, fmt.Errorf("register a writer: %w", err)
			}
			if !signsIn {
				c.others = append(c.others, registered.Msg.GetUserId())
				continue
			}
			principal, _, err := signIn(ctx, credentials, who.GetUsername(), everybodysPassword, registered.Msg.GetPosition())
			if err != nil {
				return nil, err
			}
			c.people = append(c.people, principal)
		}
	}
	c.admin, err = w.administrator(ctx, identity, credentials)
	return c, err
}

// signIn signs somebody in, and tells whether the password has to be changed.
func signIn(ctx context.Context, credentials credentialsv1connect.CredentialsServiceClient, login string, word secret.String, after *eventlogv1.Position) (gate.Principal, bool, error) {
	answer, err := credentials.Login(ctx, connect.NewRequest(&credentialsv1.LoginRequest{Login: login, Password: word.Reveal(), After: after}))
	if err != nil {
		return gate.Principal{}, false, fmt.Errorf("sign in: %w", err)
	}
	return gate.Principal{Token: secret.New(answer.Msg.GetTokens().GetAccessToken())}, answer.Msg.GetPasswordChangeRequired(), nil
}

// administrator is the first one, who changes the one-time password at the first
// run on these data.
func (w *world) administrator(ctx context.Context, identity identityv1connect.IdentityServiceClient, credentials credentialsv1connect.CredentialsServiceClient) (gate.Principal, error) {
	const name = "admin"
	text, err := os.ReadFile(w.AdminPassword)
	if err != nil {
		return gate.Principal{}, fmt.Errorf("read the administrator's password: %w", err)
	}
	oneTime := secret.New(strings.TrimSpace(string(text)))
	admin, pending, err := signIn(ctx, credentials, name, oneTime, nil)
	switch {
	case connect.CodeOf(err) == connect.CodeUnauthenticated:
		admin, _, err = signIn(ctx, credentials, name, everybodysPassword, nil)
		return admin, err
	case err != nil || !pending:
		return admin, err
	}
	changed, err := identity.ChangePassword(gate.WithPrincipal(ctx, admin), connect.NewRequest(&identityv1.ChangePasswordRequest{
		PresentPassword: oneTime.Reveal(), NewPassword: everybodysPassword.Reveal(),
	}))
	if err != nil {
		return admin, fmt.Errorf("change the administrator's password: %w", err)
	}
	admin, _, err = signIn(ctx, credentials, name, everybodysPassword, changed.Msg.GetPosition())
	return admin, err
}

// write has all write for a while, and watch run beside them; it gives the
// number of commands.
func (c *crew) write(ctx context.Context, length time.Duration, watch func(context.Context) error) (int, error) {
	ending, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return watch(ending) })
	counts := make([]int, 0, 4*writersEach)
	for i := range writersEach {
		for _, do := range []func(context.Context, int) error{
			func(ctx context.Context, _ int) error { return c.register(ctx) },
			func(ctx context.Context, turn int) error { return c.changeProfile(ctx, i, turn) },
			func(ctx context.Context, turn int) error { return c.changeRoles(ctx, i, turn) },
			func(ctx context.Context, _ int) error { return c.append(ctx) },
		} {
			counts = append(counts, 0)
			at := len(counts) - 1
			group.Go(func() error {
				// What is under way at the end is finished.
				for turn := 0; ending.Err() == nil; turn++ {
					if err := do(ctx, turn); err != nil {
						return err
					}
					counts[at]++
				}
				return nil
			})
		}
	}
	err := group.Wait()
	total := 0
	for _, n := range counts {
		total += n
	}
	if err == nil && total == 0 {
		err = errors.New("nobody wrote anything")
	}
	return total, err
}

func (c *crew) register(ctx context.Context) error {
	_, err := c.identity.RegisterUser(ctx, connect.NewRequest(newcomer()))
	if err != nil {
		return fmt.Errorf("register: %w", err)
	}
	return nil
}

func (c *crew) changeProfile(ctx context.Context, i, turn int) error {
	name := fmt.Sprintf("Lovelace %s", uuid.NewString()[:8])
	_, err := c.identity.UpdateProfile(gate.WithPrincipal(ctx, c.people[i]), connect.NewRequest(&identityv1.UpdateProfileRequest{LastName: &name}))
	if err != nil {
		return fmt.Errorf("change %d of a profile: %w", turn, err)
	}
	return nil
}

func (c *crew) changeRoles(ctx context.Context, i, turn int) error {
	var roles []string
	if turn%2 == 0 {
		roles = []string{gate.Auditor}
	}
	_, err := c.identity.SetUserRoles(gate.WithPrincipal(ctx, c.admin), connect.NewRequest(&identityv1.SetUserRolesRequest{UserId: c.others[i], Roles: roles}))
	if err != nil {
		return fmt.Errorf("change %d of somebody's roles: %w", turn, err)
	}
	return nil
}

// append writes a registration into the log as identity does at its end.
func (c *crew) append(ctx context.Context) error {
	who, err := c.filler.identify(ctx)
	if err != nil {
		return err
	}
	drafts, err := c.filler.draft((&person{number: newcomers}).does(registered, passwordSet), who, time.Now().UTC())
	if err != nil {
		return err
	}
	events, err := c.filler.seal(ctx, drafts)
	if err != nil {
		return err
	}
	_, err = c.log.Append(ctx, eventstore.Append{Stream: events[0].Stream, Expected: eventstore.NoStream, Events: events})
	return err
}
