package identity_test

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/eventstore/eventlog"
	"github.com/muster-id/muster/eventstore/postgres"
	"github.com/muster-id/muster/eventstore/seal"
	"github.com/muster-id/muster/platform/certificate"
	"github.com/muster-id/muster/platform/database"
	"github.com/muster-id/muster/platform/secret"
	"github.com/muster-id/muster/platform/serve"
	"github.com/muster-id/muster/platform/teststack"
	"github.com/muster-id/muster/platform/token"
	eventlogv1 "github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1/eventlogv1connect"
	identityv1 "github.com/muster-id/muster/proto/gen/go/muster/identity/v1"
	keyringv1 "github.com/muster-id/muster/proto/gen/go/muster/keyring/v1"
	mediaeventsv1 "github.com/muster-id/muster/proto/gen/go/muster/media/events/v1"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
	"github.com/muster-id/muster/proto/upcast"
)

// patience is for what has to happen within moments, on a machine that is busy.
const patience = time.Minute

// asAdmin puts an administrator's access token on a request.
func asAdmin[T any](t *testing.T, h *house, message *T) *connect.Request[T] {
	t.Helper()
	return signedIn(t, h, uuid.NewString(), message, func(c *token.Claims) { c.Roles = []string{"admin"} })
}

// await waits until what is read shows a position.
func (h *house) await(t *testing.T, position *eventlogv1.Position) {
	t.Helper()
	client := h.identity(t, "gateway")
	for until := time.Now().Add(patience); time.Now().Before(until); {
		answer, err := client.Await(t.Context(), connect.NewRequest(&identityv1.AwaitRequest{Position: position}))
		if err != nil {
			t.Fatal(err)
		}
		if answer.Msg.GetApplied() {
			return
		}
	}
	t.Fatalf("%v is never applied", position)
}

func (h *house) list(t *testing.T, query *identityv1.ListUsersRequest) *identityv1.ListUsersResponse {
	t.Helper()
	if query.PageSize == 0 {
		query.PageSize = 200
	}
	answer, err := h.identity(t, "gateway").ListUsers(t.Context(), asAdmin(t, h, query))
	if err != nil {
		t.Fatal(err)
	}
	return answer.Msg
}

// media is media's log, which can be served after identity has started.
type media struct {
	log    *postgres.Log
	server *serve.Server
}

// newMedia binds the port where identity is told to look.
func (h *house) newMedia(t *testing.T) *media {
	t.Helper()
	urls := teststack.Database(t, database.Migrations{Schema: postgres.Schema, Files: postgres.Migrations()})
	pool, err := database.Open(t.Context(), urls.Runtime, "media", 4)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	log, err := postgres.Open(t.Context(), pool, "media", nil)
	if err != nil {
		t.Fatal(err)
	}
	self, err := certificate.Load(h.certificates, "media")
	if err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.DiscardHandler)
	mux := http.NewServeMux()
	mux.Handle(eventlogv1connect.NewEventLogServiceHandler(eventlog.NewHandler(log), serve.Interceptors(serve.Config{Logger: logger})))
	server, err := serve.New(serve.ServerConfig{Name: "media", Address: "127.0.0.1:0", Handler: mux, TLS: self.ServerTLS(), Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	h.config.MediaURL = "https://" + server.Addr()
	return &media{log, server}
}

// start serves until the test ends.
func (m *media) start(t *testing.T) {
	t.Helper()
	run(t, m.log.Run)
	run(t, m.server.Run)
}

func (m *media) append(t *testing.T, userID string, version int64, message proto.Message) *eventlogv1.Position {
	t.Helper()
	event := eventstore.Event{ID: uuid.New(), Log: "media", Stream: "avatar-" + userID, OccurredAt: time.Now()}
	draft := eventstore.Draft{Event: &event, Message: message}
	if err := seal.NewCodec(nil, nil, protoregistry.GlobalTypes, upcast.Step).Encode(t.Context(), []eventstore.Draft{draft}); err != nil {
		t.Fatal(err)
	}
	appended, err := m.log.Append(t.Context(), eventstore.Append{
		Stream: event.Stream, Expected: eventstore.ExpectedVersion(version - 1), Events: []eventstore.Event{event},
	})
	if err != nil {
		t.Fatal(err)
	}
	at := appended.Position
	return &eventlogv1.Position{Log: at.Log, Epoch: at.Epoch, Stream: at.Stream, Version: at.Version}
}

func TestListShowsWhoRegistered(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]func() string{
		"without a broker":             func() string { return "" },
		"with a broker":                func() string { return teststack.VirtualHost(t) },
		"with a broker that is absent": func() string { return "amqp://muster:muster@127.0.0.1:1/" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			if at := url(); at != "" {
				h.config.BrokerURL = secret.New(at)
			}
			h.start(t)
			registered := h.register(t)
			h.await(t, registered.GetPosition())
			listed := h.list(t, &identityv1.ListUsersRequest{Order: identityv1.UserOrder_USER_ORDER_USERNAME})
			if len(listed.GetProfiles()) != 2 || listed.GetNext() != nil {
				t.Fatalf("listed %v", listed)
			}
			got := listed.GetProfiles()[0]
			one, err := h.identity(t, "gateway").GetUser(t.Context(), asAdmin(t, h, &identityv1.GetUserRequest{UserId: registered.GetUserId()}))
			if err != nil {
				t.Fatal(err)
			}
			if want := one.Msg.GetProfile(); !proto.Equal(got, want) {
				t.Errorf("the list shows %v\nthe account is %v", got, want)
			}
		})
	}
}

func TestListGoesOnPageByPage(t *testing.T) {
	t.Parallel()
	h := newHouse(t).start(t)
	client := h.identity(t, "gateway")
	var last *eventlogv1.Position
	want := []string{}
	for _, name := range []string{"Anna", "bert", "Çelik", "dora", "Emil"} {
		username := strings.ToLower(name)
		registered, err := client.RegisterUser(t.Context(), connect.NewRequest(&identityv1.RegisterUserRequest{
			Username: username, Email: username + "@list.example", Password: "canary-password-1", LastName: name,
		}))
		if err != nil {
			t.Fatal(err)
		}
		last = registered.Msg.GetPosition()
		want = append(want, name)
	}
	h.await(t, last)
	for _, order := range []identityv1.UserOrder{identityv1.UserOrder_USER_ORDER_UNSPECIFIED, identityv1.UserOrder_USER_ORDER_REGISTERED_AT, identityv1.UserOrder_USER_ORDER_NAME} {
		var got []string
		query := &identityv1.ListUsersRequest{PageSize: 2, Order: order, Active: new(true)}
		for more := true; more; more = query.After != nil {
			page := h.list(t, query)
			for _, profile := range page.GetProfiles() {
				if profile.GetUsername() != "admin" {
					got = append(got, profile.GetLastName())
				}
			}
			query.After = page.GetNext()
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("by %v: %v, want %v", order, got, want)
		}
	}
	for typed, found := range map[string]int{"A": 2, "an": 1, "ANNA": 1, "ÇE": 1, "c": 0, "%": 0, "_": 0, "anna ": 1, "\\": 0} {
		if listed := h.list(t, &identityv1.ListUsersRequest{Username: typed}); len(listed.GetProfiles()) != found {
			t.Errorf("usernames that begin with %q: %v, want %d", typed, listed.GetProfiles(), found)
		}
	}
	if listed := h.list(t, &identityv1.ListUsersRequest{Email: "Bert@LIST.example"}); len(listed.GetProfiles()) != 1 {
		t.Errorf("by email: %v", listed.GetProfiles())
	}
	if listed := h.list(t, &identityv1.ListUsersRequest{Role: "admin"}); len(listed.GetProfiles()) != 1 || listed.GetProfiles()[0].GetUsername() != "admin" {
		t.Errorf("administrators: %v", listed.GetProfiles())
	}
	if listed := h.list(t, &identityv1.ListUsersRequest{Active: new(false)}); len(listed.GetProfiles()) != 0 {
		t.Errorf("deactivated: %v", listed.GetProfiles())
	}
}

func TestListIsRefused(t *testing.T) {
	t.Parallel()
	h := newHouse(t).start(t)
	client := h.identity(t, "gateway")
	place := &identityv1.UserPlace{RegisteredAt: timestamppb.Now(), UserId: uuid.NewString()}
	for field, query := range map[string]*identityv1.ListUsersRequest{
		"pageSize":           {PageSize: 0},
		"role":               {PageSize: 1, Role: "emperor"},
		"order":              {PageSize: 1, Order: 77},
		"after.userId":       {PageSize: 1, After: &identityv1.UserPlace{Key: "a", UserId: "nobody"}},
		"after.registeredAt": {PageSize: 1, After: &identityv1.UserPlace{Key: "a", UserId: uuid.NewString()}},
	} {
		_, err := client.ListUsers(t.Context(), asAdmin(t, h, query))
		expect(t, field, err, musterv1.Reason_REASON_INVALID_ARGUMENT, field)
	}
	_, err := client.ListUsers(t.Context(), asAdmin(t, h, &identityv1.ListUsersRequest{PageSize: 201, After: place}))
	expect(t, "page of 201", err, musterv1.Reason_REASON_INVALID_ARGUMENT, "pageSize")
	_, err = client.ListUsers(t.Context(), signedIn(t, h, uuid.NewString(), &identityv1.ListUsersRequest{PageSize: 1}, nil))
	expect(t, "an ordinary person", err, musterv1.Reason_REASON_PERMISSION_DENIED, "")
	_, err = client.ListUsers(t.Context(), connect.NewRequest(&identityv1.ListUsersRequest{PageSize: 1}))
	expect(t, "nobody", err, musterv1.Reason_REASON_UNAUTHENTICATED, "")
	if _, err := client.ListUsers(t.Context(), signedIn(t, h, uuid.NewString(), &identityv1.ListUsersRequest{PageSize: 1}, func(c *token.Claims) {
		c.Roles = []string{"auditor"}
	})); err != nil {
		t.Errorf("an auditor: %v", err)
	}
}

func TestAwaitTellsWhatItCannotWaitFor(t *testing.T) {
	t.Parallel()
	h := newHouse(t).start(t)
	client := h.identity(t, "gateway")
	position := h.register(t).GetPosition()
	h.await(t, position)
	await := func(change func(*eventlogv1.Position)) (bool, error) {
		changed, ok := proto.Clone(position).(*eventlogv1.Position)
		if !ok {
			t.Fatal("no position")
		}
		change(changed)
		answer, err := client.Await(t.Context(), connect.NewRequest(&identityv1.AwaitRequest{Position: changed}))
		if err != nil {
			return false, err
		}
		return answer.Msg.GetApplied(), nil
	}
	_, err := await(func(p *eventlogv1.Position) { p.Log = "credentials" })
	expect(t, "a log that nobody follows", err, musterv1.Reason_REASON_INVALID_ARGUMENT, "position.log")
	_, err = await(func(p *eventlogv1.Position) { p.Epoch = 7 })
	expect(t, "another epoch", err, musterv1.Reason_REASON_CONSISTENCY_TOKEN_INVALID, "")
	if applied, err := await(func(p *eventlogv1.Position) { p.Version = 99 }); applied || err != nil {
		t.Errorf("a version that does not come: %v, %v", applied, err)
	}
	if applied, err := await(func(p *eventlogv1.Position) { p.Log, p.Stream = "media", "avatar-"+p.Stream }); applied || err != nil {
		t.Errorf("a picture, while media is away: %v, %v", applied, err)
	}
}

func TestPictureShowsOnceMediaIsThere(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.config.BrokerURL = secret.New(teststack.VirtualHost(t))
	pictures := h.newMedia(t)
	h.start(t) // and does not wait for media
	h.untilHealth(t, grpchealth.StatusServing)
	client := h.identity(t, "gateway")
	registered := h.register(t)
	id, avatar := registered.GetUserId(), uuid.NewString()
	shown := func() (string, error) {
		got, err := client.GetProfile(t.Context(), signedIn(t, h, id, &identityv1.GetProfileRequest{}, nil))
		if err != nil {
			return "", err
		}
		return got.Msg.GetProfile().GetAvatarId(), nil
	}
	set := pictures.append(t, id, 1, &mediaeventsv1.AvatarSet{UserId: id, AvatarId: avatar, Size: 9})
	if got, err := shown(); err != nil || got != "" {
		t.Errorf("before media is there: %q, %v", got, err)
	}
	pictures.start(t)
	h.await(t, set)
	if got, err := shown(); err != nil || got != avatar {
		t.Errorf("the profile shows %q, %v; want %q", got, err, avatar)
	}
	one, err := client.GetUser(t.Context(), asAdmin(t, h, &identityv1.GetUserRequest{UserId: id}))
	if err != nil || one.Msg.GetProfile().GetAvatarId() != avatar {
		t.Errorf("the account shows %v, %v", one, err)
	}
	updated, err := client.UpdateProfile(t.Context(), signedIn(t, h, id, &identityv1.UpdateProfileRequest{FirstName: new("Augusta")}, nil))
	if err != nil || updated.Msg.GetProfile().GetAvatarId() != avatar {
		t.Errorf("the changed profile shows %v, %v", updated, err)
	}
	h.await(t, updated.Msg.GetPosition())
	if listed := h.list(t, &identityv1.ListUsersRequest{Username: "ada"}); len(listed.GetProfiles()) != 1 || listed.GetProfiles()[0].GetAvatarId() != avatar {
		t.Errorf("the list shows %v", listed)
	}
	h.await(t, pictures.append(t, id, 2, &mediaeventsv1.AvatarRemoved{UserId: id, AvatarId: avatar}))
	if got, err := shown(); err != nil || got != "" {
		t.Errorf("after the picture was removed: %q, %v", got, err)
	}
}

func TestNothingIsLeftOfAnErasedPerson(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	pictures := h.newMedia(t)
	pictures.start(t)
	h.start(t)
	client := h.identity(t, "gateway")
	registered := h.register(t)
	id := registered.GetUserId()
	set := &mediaeventsv1.AvatarSet{UserId: id, AvatarId: uuid.NewString(), Size: 9}
	h.await(t, pictures.append(t, id, 1, set))
	sealed, err := h.events(t, "credentials").ReadStream(t.Context(), registered.GetPosition().GetStream(), 1, 10)
	if err != nil {
		t.Fatal(err)
	}
	keys := &keyringv1.GetKeysRequest{KeyIds: []string{sealed[0].KeyID, sealed[1].KeyID}}

	h.await(t, registered.GetPosition())
	admin := h.list(t, &identityv1.ListUsersRequest{Role: "admin"}).GetProfiles()[0].GetUserId()
	began := time.Now()
	erased, err := client.DeleteUser(t.Context(), signedIn(t, h, admin, &identityv1.DeleteUserRequest{UserId: id}, func(c *token.Claims) {
		c.Roles = []string{"admin"}
	}))
	if err != nil {
		t.Fatal(err)
	}
	h.untilDestroyed(t, keys)
	t.Logf("the keys are destroyed after %v", time.Since(began))
	h.await(t, erased.Msg.GetPosition())
	if listed := h.list(t, &identityv1.ListUsersRequest{}); len(listed.GetProfiles()) != 1 {
		t.Errorf("the list shows %v", listed)
	}
	_, err = client.GetUser(t.Context(), asAdmin(t, h, &identityv1.GetUserRequest{UserId: id}))
	expect(t, "the account", err, musterv1.Reason_REASON_NOT_FOUND, "")
	// An upload was under way.
	h.await(t, pictures.append(t, id, 2, set))
	if left := h.count(t, `SELECT count(*) FROM read.avatars`) + h.count(t, `SELECT count(*) FROM read.users WHERE username <> 'admin'`); left != 0 {
		t.Errorf("%d rows are left", left)
	}
}

// untilDestroyed asks until all keys are destroyed.
func (h *house) untilDestroyed(t *testing.T, keys *keyringv1.GetKeysRequest) {
	t.Helper()
	client := h.keyring(t, "credentials")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		answer, err := client.GetKeys(ctx, connect.NewRequest(keys))
		if err != nil {
			t.Fatal(err)
		}
		destroyed := 0
		for _, key := range answer.Msg.GetKeys() {
			if key.GetState() == keyringv1.KeyState_KEY_STATE_DESTROYED {
				destroyed++
			}
		}
		if destroyed == len(keys.GetKeyIds()) {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%d of %d keys are destroyed", destroyed, len(keys.GetKeyIds()))
		}
	}
}

// count counts in identity's database.
func (h *house) count(t *testing.T, query string) int {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), h.config.DatabaseURL.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var count int
	if err := conn.QueryRow(t.Context(), query).Scan(&count); err != nil {
		t.Fatal(err)
	}
	return count
}

// What is asked for while the service ends is answered or refused, and all of
// its parts end.
func TestServiceEndsWhileProjectionsAreWaitedFor(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.config.BrokerURL = secret.New(teststack.VirtualHost(t))
	h.start(t)
	position := h.register(t).GetPosition()
	position.Version = 99
	client := h.identity(t, "gateway")
	answered := make(chan error, 1)
	go func() {
		_, err := client.Await(t.Context(), connect.NewRequest(&identityv1.AwaitRequest{Position: position}))
		answered <- err
	}()
	h.stop()
	if err := <-h.ended; err != nil {
		t.Error(err)
	}
	<-answered // with whatever, but it is
}
