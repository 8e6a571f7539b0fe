package e2e_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/muster-id/muster/proto/client"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/v1/musterv1connect"
)

// shortLived tokens are exchanged while a test watches, and live long enough
// for a slow machine to use them.
const shortLived = "MUSTER_CREDENTIALS_ACCESS_TOKEN_LIFETIME=8s"

// patience is how long a client's walk may take on a busy machine.
const patience = 2 * time.Minute

// The clients that are made from the protos register, sign in, stay signed in
// by themselves while access tokens expire, and upload an avatar.
func TestClientsStaySignedInByThemselves(t *testing.T) {
	t.Parallel()
	modules := nodeModules(t)
	w := start(t, shortLived)
	t.Run("Go over gRPC", func(t *testing.T) {
		t.Parallel()
		w.walkInGo(t)
	})
	t.Run("Node over Connect JSON", func(t *testing.T) {
		t.Parallel()
		node(t, modules, "client/ts/test/walk.js", w.url)
	})
}

// What the TypeScript session does when, shown without a server.
func TestTypeScriptSession(t *testing.T) {
	t.Parallel()
	node(t, nodeModules(t), "--test", "client/ts/test/session.test.js")
}

func (s *world) walkInGo(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ada := somebody("ada-client")
	config := client.Config{URL: s.url, HTTP: h2c(t), Options: []connect.ClientOption{connect.WithGRPC()}}
	prompt := client.New(config)
	stopped := time.Now()
	config.Now = func() time.Time { return stopped } // never finds a token old by itself
	late := client.New(config)

	auth := musterv1connect.NewAuthServiceClient(config.HTTP, s.url, config.Options...)
	if _, err := auth.Register(ctx, connect.NewRequest(&musterv1.RegisterRequest{
		Username: ada.Username, Email: ada.Email, Password: ada.Password, FirstName: ada.FirstName,
	})); err != nil {
		t.Fatal(err)
	}
	if _, err := prompt.Login(ctx, ada.Username, "not hers"); client.Reason(err) != musterv1.Reason_REASON_WRONG_CREDENTIALS {
		t.Fatalf("with a wrong password: %v", err)
	}

	signedIn := func(session *client.Session) connect.ClientOption {
		return connect.WithClientOptions(append(config.Options, connect.WithInterceptors(session))...)
	}
	getMe := func(session *client.Session) (*musterv1.User, error) {
		me, err := musterv1connect.NewUserServiceClient(config.HTTP, s.url, signedIn(session)).GetMe(ctx, connect.NewRequest(&musterv1.GetMeRequest{}))
		if err != nil {
			return nil, err
		}
		return me.Msg.GetUser(), nil
	}
	sessions := map[string]*client.Session{"before it expires": prompt, "once it has expired": late}
	first := map[string]client.Tokens{}
	for when, session := range sessions {
		if _, err := session.Login(ctx, ada.Email, ada.Password); err != nil {
			t.Fatal(err)
		}
		first[when] = session.Tokens()
	}

	media := musterv1connect.NewMediaServiceClient(config.HTTP, s.url, signedIn(prompt))
	uploaded, err := media.UploadAvatar(ctx, connect.NewRequest(&musterv1.UploadAvatarRequest{Picture: photograph(t, 400, 300, "")}))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, "GetMe shows the avatar", func() bool {
		me, err := getMe(prompt)
		if err != nil {
			t.Fatal(err)
		}
		return me.GetAvatarUrl() != "" && me.GetAvatarUrl() == uploaded.Msg.GetAvatarUrl()
	})
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, uploaded.Msg.GetAvatarUrl(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.send(t, request); got.status != http.StatusOK || got.header.Get("Content-Type") != "image/jpeg" {
		t.Errorf("the avatar: %d %s", got.status, got.header.Get("Content-Type"))
	}

	for when, session := range sessions {
		eventually(t, patience, "the token is exchanged "+when, func() bool {
			if _, err := getMe(session); err != nil {
				t.Fatalf("%s: %v", when, err)
			}
			return session.Tokens().AccessToken != first[when].AccessToken
		})
	}

	changed := musterv1connect.NewAuthServiceClient(config.HTTP, s.url, signedIn(prompt))
	if _, err := changed.ChangePassword(ctx, connect.NewRequest(&musterv1.ChangePasswordRequest{
		PresentPassword: ada.Password, NewPassword: "battery staple",
	})); err != nil {
		t.Fatal(err)
	}
	for _, session := range sessions {
		eventually(t, patience, "the session says that it has ended", func() bool {
			_, err := getMe(session)
			return client.Reason(err) == musterv1.Reason_REASON_SESSION_REVOKED
		})
	}
}

// node runs a program of proto's packages.
func node(t *testing.T, modules string, arguments ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	command := exec.CommandContext(ctx, "node", arguments...)
	command.Dir = modules
	if said, err := command.CombinedOutput(); err != nil {
		t.Fatalf("node %v: %v\n%s", arguments, err, said)
	}
}

// nodeModules is the folder of the npm packages that the TypeScript client
// needs. They are fetched once for each state of the lock file.
func nodeModules(t *testing.T) string {
	t.Helper()
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("the TypeScript client is tested with Node 20 and npm: %v", err)
		}
	}
	dir, err := filepath.Abs(filepath.Join("..", "..", "proto"))
	if err != nil {
		t.Fatal(err)
	}
	locked, err := os.ReadFile(filepath.Join(dir, "package-lock.json"))
	if err != nil {
		t.Fatal(err)
	}
	// Two tests may be here at once, of two runs of the suite even.
	turn, err := os.Open(filepath.Join(dir, "package-lock.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer turn.Close() // gives the turn back
	if err := syscall.Flock(int(turn.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(locked)
	stamp, state := filepath.Join(dir, "node_modules", ".muster"), hex.EncodeToString(sum[:])
	if was, err := os.ReadFile(stamp); err == nil && string(was) == state {
		return dir
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	command := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	command.Dir = dir
	if said, err := command.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, said)
	}
	if err := os.WriteFile(stamp, []byte(state), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}
