package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/muster-id/muster/muster/internal/operator"
	"github.com/muster-id/muster/muster/internal/system"
	"github.com/muster-id/muster/platform/devstack"
)

// The cost of a password's hash: what is looked for here is not in it, and a
// usual one would leave nothing of two cores.
const (
	hashMemoryKiB = 64
	hashTime      = 1
)

// world is the system under test: what `muster up --separate` starts, with a
// second identity, on servers that keep what they have acknowledged.
type world struct {
	*system.System
	*caller
	operator *operator.Client
	admin    string // access token of the first administrator
}

// open starts it in a folder, with the network's proxies in it.
func open(ctx context.Context, dir string, net *network, h *history, progress io.Writer) (*world, error) {
	environ := append(withoutMuster(os.Environ()), "MUSTER_CREDENTIALS_ACCESS_TOKEN_LIFETIME=2h", "MUSTER_GATEWAY_TRUSTED_PROXIES=127.0.0.1/32")
	for _, service := range []string{"IDENTITY", "CREDENTIALS"} {
		environ = append(environ,
			fmt.Sprintf("MUSTER_%s_PASSWORD_MEMORY_KIB=%d", service, hashMemoryKiB),
			fmt.Sprintf("MUSTER_%s_PASSWORD_TIME=%d", service, hashTime))
	}
	running, err := system.Start(ctx, system.Options{
		Dir: dir, Broker: true, Separate: true, Standby: true, Adjust: net.adjust, Environ: environ, Progress: progress,
	})
	if err != nil {
		return nil, err
	}
	// Many clients, each of which would have connections of its own.
	transport := &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute}
	w := &world{System: running, caller: &caller{url: running.URL, client: &http.Client{Transport: transport}, history: h}}
	places := operator.Places{Certificates: running.Certificates, URLs: map[string]string{}}
	for name, address := range running.Services {
		places.URLs[name] = "https://" + address
	}
	if w.operator, err = operator.Open(places); err == nil {
		err = w.signInAdmin(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

func (w *world) close() error {
	w.client.CloseIdleConnections()
	if w.operator != nil {
		w.operator.Close()
	}
	return w.Stop()
}

// signInAdmin gives the first administrator a password of its own, as nothing
// else is allowed before.
func (w *world) signInAdmin(ctx context.Context) error {
	oneTime, err := os.ReadFile(w.AdminPassword)
	if err != nil {
		return err
	}
	password := strings.TrimSpace(string(oneTime))
	first := w.call(ctx, "AuthService/Login", map[string]any{"login": "admin", "password": password})
	if !first.ok() {
		return fmt.Errorf("sign the administrator in: %s", first.label())
	}
	chosen := uuid.NewString()
	changed := w.call(ctx, "AuthService/ChangePassword", map[string]any{"presentPassword": password, "newPassword": chosen}, bearer(first.text("accessToken")))
	if !changed.ok() {
		return fmt.Errorf("change the administrator's password: %s", changed.label())
	}
	signedIn := w.call(ctx, "AuthService/Login", map[string]any{"login": "admin", "password": chosen, "consistencyToken": changed.text("consistencyToken")})
	if !signedIn.ok() {
		return fmt.Errorf("sign the administrator in: %s", signedIn.label())
	}
	w.admin = signedIn.text("accessToken")
	return nil
}

// database connects to a service's database as one who may do everything, past
// the proxies.
func (w *world) database(ctx context.Context, service string) (*pgx.Conn, error) {
	address, err := url.Parse(w.Servers.AdminURL.Reveal())
	if err != nil {
		return nil, errors.New("the server's address is not a URL")
	}
	address.Path = "/muster_" + service
	conn, err := pgx.Connect(ctx, address.String())
	if err != nil {
		return nil, fmt.Errorf("connect to the database of %s: %w", service, err)
	}
	return conn, nil
}

// withoutMuster leaves out what would point the system elsewhere: its servers
// are wiped.
func withoutMuster(environ []string) []string {
	var kept []string
	for _, pair := range environ {
		name, _, _ := strings.Cut(pair, "=")
		ours := name == devstack.PostgresEnv || name == devstack.BrokerEnv || name == devstack.S3Env
		if !ours && !strings.HasPrefix(name, "OTEL_") {
			kept = append(kept, pair)
		}
	}
	return kept
}
