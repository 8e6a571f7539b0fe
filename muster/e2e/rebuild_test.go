package e2e_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// While every projection is rebuilt, one after the other, and taken back, people
// register, sign in, stay in and read with their consistency tokens, and not one
// call fails.
func TestNobodyNoticesThatEveryProjectionIsRebuilt(t *testing.T) {
	s := shared(t)
	boss, ada := s.admin(t), s.joins(t, "ada-through-rebuilds")
	s.putAvatar(t, photograph(t, 50, 50, ""), ada.token).ok(t)
	s.uploads(t, ada.token, "kept.txt", []byte("kept through rebuilds"))
	health, _ := s.projectionHealth(t, boss, "credentials", "access")
	before := health["generation"]

	stop := make(chan struct{})
	var calls atomic.Int64
	var load sync.WaitGroup
	// Each runs in a goroutine of its own, in which ok may only end itself.
	people := func(name string, do func(t *testing.T, n int)) {
		load.Go(func() {
			t.Run(name, func(t *testing.T) {
				for n := 0; ; n++ {
					select {
					case <-stop:
						return
					default:
					}
					do(t, n)
					calls.Add(1)
				}
			})
		})
	}
	defer load.Wait()
	stopAll := sync.OnceFunc(func() { close(stop) })
	defer stopAll()
	people("newcomers", func(t *testing.T, n int) {
		p := somebody(fmt.Sprintf("rebuilt-%d", n))
		registered := s.call(t, "AuthService/Register", p).ok(t)
		token := registered.text("consistencyToken")
		opened := s.call(t, "AuthService/Login", map[string]any{"login": p.Username, "password": p.Password, "consistencyToken": token}).ok(t)
		s.call(t, "AuthService/RefreshToken", map[string]any{"refreshToken": opened.text("refreshToken")}).ok(t)
		me := s.call(t, "UserService/GetMe", map[string]any{}, bearer(opened.text("accessToken"))).ok(t)
		if me.user()["username"] != p.Username {
			t.Errorf("read %s", me.raw)
		}
		listed := s.call(t, "AdminService/ListUsers", map[string]any{"username": p.Username, "consistencyToken": token}, boss.token).ok(t)
		if !strings.Contains(listed.raw, opened.text("userId")) {
			t.Errorf("%s is not in the list: %s", p.Username, listed.raw)
		}
	})
	people("readers", func(t *testing.T, _ int) {
		me := s.call(t, "UserService/GetMe", map[string]any{}, ada.token).ok(t)
		if me.user()["avatarUrl"] == nil {
			t.Errorf("the avatar is gone: %s", me.raw)
		}
		if files := s.call(t, "MediaService/ListFiles", map[string]any{}, ada.token).ok(t).list("files"); len(files) != 1 {
			t.Errorf("%d files", len(files))
		}
	})
	refresh := ada.refresh
	people("sessions", func(t *testing.T, _ int) {
		refresh = s.call(t, "AuthService/RefreshToken", map[string]any{"refreshToken": refresh}).ok(t).text("refreshToken")
		s.signsIn(t, ada.person)
	})
	goesOn := func(what string) {
		t.Helper()
		now := calls.Load()
		eventually(t, time.Minute, "people are served "+what, func() bool { return t.Failed() || calls.Load() >= now+6 })
	}
	goesOn("at first")
	for _, name := range []string{"access", "users", "avatars", "files"} {
		s.says(t, "projection", "rebuild", name).is(t, 0, "rebuilt "+name)
		goesOn("by the new " + name)
		s.says(t, "projection", "rollback", name).is(t, 0, "serves again")
		goesOn("by the former " + name)
		s.says(t, "projection", "drop", name).is(t, 0, "is being deleted")
	}
	s.says(t, "projection", "verify", "access").is(t, 0, "no row differs")
	stopAll()
	load.Wait()
	for _, name := range []string{"access", "users", "avatars", "files"} {
		s.says(t, "projection", "verify", name).is(t, 0, "no row differs")
	}
	if health, _ := s.projectionHealth(t, boss, "credentials", "access"); health["generation"] != before {
		t.Errorf("generation %v serves, not %v", health["generation"], before)
	}
}

// CheckServices and the metrics tell of each projection how it is, and of an
// operation how far it is.
func TestCheckServicesTellsOfEachProjection(t *testing.T) {
	s := shared(t)
	boss := s.admin(t)
	s.joins(t, "ada-of-health")
	for service, names := range map[string][]string{"credentials": {"access"}, "identity": {"users", "avatars"}, "media": {"files", "eraser", "erasure"}} {
		for _, name := range names {
			eventually(t, time.Minute, name+" is told to be well", func() bool {
				health, state := s.projectionHealth(t, boss, service, name)
				return health["generation"] != "0" && health["lag"] == "0s" && health["lagEvents"] == "0" && health["parked"] == "0" && health["oldestParkedAt"] == nil && health["progress"] == nil && state == "STATE_UP"
			})
		}
	}
	eventually(t, time.Minute, "the rate is told", func() bool {
		s.joins(t, "rate-"+fmt.Sprint(time.Now().UnixNano()))
		health, _ := s.projectionHealth(t, boss, "credentials", "access")
		rate, _ := health["eventsPerSecond"].(float64)
		return rate > 0
	})

	// With the rows held, a rebuild gets nowhere, and what is appended waits.
	held, err := s.database(t).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer held.Rollback(t.Context())
	if _, err := held.Exec(t.Context(), `LOCK TABLE read.access IN SHARE MODE`); err != nil {
		t.Fatal(err)
	}
	rebuild := s.muster(t, "projection", "rebuild", "access")
	if err := rebuild.Start(); err != nil {
		t.Fatal(err)
	}
	s.call(t, "AuthService/Register", somebody("waits-for-rows")).ok(t)
	s.call(t, "AuthService/Register", somebody("waits-for-rows-too")).ok(t)
	eventually(t, 20*time.Second, "lag and progress are told", func() bool {
		health, state := s.projectionHealth(t, boss, "credentials", "access")
		progress, told := health["progress"].(float64)
		// It gets on again within half a minute, so it is not down.
		return told && progress < 1 && health["lagEvents"] != "0" && health["lag"] != "0s" && state != "STATE_DOWN"
	})
	metrics := s.get(t, "http://"+s.Metrics["credentials"]+"/metrics").raw
	for _, want := range []string{`muster_projection_operation_running{projection="access"} 1`, `muster_projection_operation_progress{projection="access"} 0`} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	if strings.Contains(metrics, `muster_projection_lag_events{projection="access"} 0`+"\n") {
		t.Error("by the metrics nothing waits")
	}
	if err := held.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := rebuild.Wait(); err != nil {
		t.Error(err)
	}
	eventually(t, time.Minute, "nothing waits", func() bool {
		health, _ := s.projectionHealth(t, boss, "credentials", "access")
		return health["lagEvents"] == "0" && health["lag"] == "0s" && health["progress"] == nil
	})
	s.says(t, "projection", "rollback", "access").is(t, 0, "serves again")
	s.says(t, "projection", "drop", "access").is(t, 0, "is being deleted")
}

// Whatever becomes of their queues in RabbitMQ while people register, they can
// sign in at once, and the rows are those of a rebuild.
func TestQueuesPurgedAndDeletedInUse(t *testing.T) {
	s := shared(t)
	boss := s.admin(t)
	connection, channel := s.exchange(t)
	defer connection.Close()
	queues := []string{"credentials.access", "identity.users"}
	for n := range 8 {
		s.queues(t, 1) // all are there and consumed
		for _, queue := range queues {
			var err error
			if n%2 == 0 {
				_, err = channel.QueuePurge(queue, false)
			} else {
				_, err = channel.QueueDelete(queue, false, false, false)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		for i := range 2 {
			p := somebody(fmt.Sprintf("purged-%d-%d", n, i))
			registered := s.call(t, "AuthService/Register", p).ok(t)
			s.call(t, "AuthService/Login", map[string]any{
				"login": p.Username, "password": p.Password, "consistencyToken": registered.text("consistencyToken"),
			}).ok(t)
		}
	}
	for service, name := range map[string]string{"credentials": "access", "identity": "users"} {
		eventually(t, time.Minute, name+" tells of no lag", func() bool {
			health, _ := s.projectionHealth(t, boss, service, name)
			return health["lagEvents"] == "0" && health["lag"] == "0s"
		})
		s.says(t, "projection", "verify", name).is(t, 0, "no row differs")
	}
}
