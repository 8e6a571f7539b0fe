package certificate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestServicesKnowOneAnother(t *testing.T) {
	t.Parallel()
	dir := authorityWith(t, "gateway", "identity")
	caller, err := handshake(t, identity(t, dir, "identity").ServerTLS(), identity(t, dir, "gateway").ClientTLS("identity"))
	if err != nil {
		t.Fatal(err)
	}
	if caller != "gateway" {
		t.Errorf("the server sees %q, want gateway", caller)
	}
}

func TestConnectionsThatAreRefused(t *testing.T) {
	t.Parallel()
	ours, theirs := authorityWith(t, "gateway", "identity"), authorityWith(t, "gateway", "identity")
	server := identity(t, ours, "identity").ServerTLS()
	for name, client := range map[string]*tls.Config{
		"the server is another service":     identity(t, ours, "gateway").ClientTLS("credentials"),
		"the server's authority is another": identity(t, theirs, "gateway").ClientTLS("identity"),
		"the client has no certificate":     without(identity(t, ours, "gateway").ClientTLS("identity")),
		"the client's authority is another": with(identity(t, ours, "gateway").ClientTLS("identity"), identity(t, theirs, "gateway").certificate),
		"the client speaks TLS 1.2":         old(identity(t, ours, "gateway").ClientTLS("identity")),
		"the client shows the authority":    with(identity(t, ours, "gateway").ClientTLS("identity"), pair(t, ours, authorityName)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if caller, err := handshake(t, server, client); err == nil {
				t.Errorf("accepted, from %q", caller)
			}
		})
	}
}

// The host name is what TLS checks by itself; this is the check on top of it.
func TestAServerWithTheRightHostNameAndTheWrongServiceIsRefused(t *testing.T) {
	t.Parallel()
	dir := authorityWith(t, "gateway", "identity", "media")
	client := identity(t, dir, "gateway").ClientTLS("identity")
	client.ServerName = hostName("media")
	if _, err := handshake(t, identity(t, dir, "media").ServerTLS(), client); !errors.Is(err, ErrNotTheService) {
		t.Errorf("got %v, want ErrNotTheService", err)
	}
}

func TestACallerIsNamedByAVerifiedCertificateOnly(t *testing.T) {
	t.Parallel()
	leaf := pair(t, authorityWith(t, "gateway"), "gateway").Leaf
	if caller := CallerOf(nil); caller != "" {
		t.Errorf("a connection in clear is of %q", caller)
	}
	if caller := CallerOf(&tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}}); caller != "" {
		t.Errorf("an unverified certificate is of %q", caller)
	}
	two := *leaf
	two.URIs = append(two.URIs, identityURI("credentials"))
	if name := named(&two); name != "" {
		t.Errorf("a certificate with two names is of %q", name)
	}
}

func TestMakingAgainChangesNothing(t *testing.T) {
	t.Parallel()
	dir := authorityWith(t, "gateway")
	before := contents(t, dir)
	if err := MakeAuthority(dir, "gateway", "identity"); err != nil {
		t.Fatal(err)
	}
	for name, text := range contents(t, dir) {
		if old, ok := before[name]; ok && old != text {
			t.Errorf("%s has changed", name)
		}
	}
	if _, err := Load(dir, "identity"); err != nil {
		t.Errorf("a service that came later: %v", err)
	}
}

func TestProcessesThatStartAtOnceMakeOneAuthority(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "certificates")
	services := []string{"gateway", "identity", "credentials", "media"}
	var group sync.WaitGroup
	for _, service := range services {
		group.Go(func() {
			if err := MakeAuthority(dir, services...); err != nil {
				t.Error(err)
			}
			if _, err := Load(dir, service); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for _, service := range services {
		if _, err := handshake(t, identity(t, dir, "identity").ServerTLS(), identity(t, dir, service).ClientTLS("identity")); err != nil {
			t.Errorf("%s: %v", service, err)
		}
	}
}

func TestACertificateNearItsEndIsMadeAnew(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		later   time.Duration
		renewed bool
	}{
		"31 days are left":         {leafValidity - 31*24*time.Hour, false},
		"29 days are left":         {leafValidity - 29*24*time.Hour, true},
		"it has ended":             {leafValidity + time.Hour, true},
		"the authority is ending":  {authorityValidity - time.Hour, true},
		"the authority has a year": {authorityValidity - 200*24*time.Hour, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := authorityWith(t, "gateway")
			before := pair(t, dir, "gateway").Leaf.SerialNumber
			then := time.Now().Add(test.later)
			if err := makeAuthority(dir, []string{"gateway"}, then); err != nil {
				t.Fatal(err)
			}
			after := pair(t, dir, "gateway").Leaf
			if renewed := before.Cmp(after.SerialNumber) != 0; renewed != test.renewed {
				t.Errorf("renewed: %v, want %v", renewed, test.renewed)
			}
			authority := pair(t, dir, authorityName).Leaf
			if after.NotAfter.Before(then) || after.NotAfter.After(authority.NotAfter) {
				t.Errorf("good until %v, then is %v and the authority ends %v", after.NotAfter, then, authority.NotAfter)
			}
			if err := after.CheckSignatureFrom(authority); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestKeysAreTheirOwnersAlone(t *testing.T) {
	t.Parallel()
	dir := authorityWith(t, "gateway")
	for _, name := range []string{authorityName, "gateway"} {
		info, err := os.Stat(file(dir, name, ".key"))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s.key has mode %v", name, info.Mode())
		}
	}
}

func TestFilesThatDoNotFit(t *testing.T) {
	t.Parallel()
	t.Run("an authority without its key is not replaced", func(t *testing.T) {
		t.Parallel()
		dir := authorityWith(t, "gateway")
		if err := os.Remove(file(dir, authorityName, ".key")); err != nil {
			t.Fatal(err)
		}
		before := contents(t, dir)[authorityName+".pem"]
		if err := MakeAuthority(dir, "gateway"); err == nil {
			t.Error("made")
		}
		if contents(t, dir)[authorityName+".pem"] != before {
			t.Error("the authority was replaced")
		}
	})
	t.Run("a service cannot load another's certificate", func(t *testing.T) {
		t.Parallel()
		dir := authorityWith(t, "gateway")
		for _, extension := range []string{".pem", ".key"} {
			if err := os.Rename(file(dir, "gateway", extension), file(dir, "identity", extension)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := Load(dir, "identity"); err == nil || !strings.Contains(err.Error(), "gateway") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a broken certificate is made anew", func(t *testing.T) {
		t.Parallel()
		dir := authorityWith(t, "gateway")
		if err := os.WriteFile(file(dir, "gateway", ".pem"), []byte("half"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := MakeAuthority(dir, "gateway"); err != nil {
			t.Fatal(err)
		}
		identity(t, dir, "gateway")
	})
	t.Run("a name that could leave the folder is refused", func(t *testing.T) {
		t.Parallel()
		for _, name := range []string{"../gateway", "", "Gateway", authorityName} {
			if err := MakeAuthority(t.TempDir(), name); err == nil {
				t.Errorf("%q was accepted", name)
			}
		}
	})
}

func authorityWith(t *testing.T, services ...string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := MakeAuthority(dir, services...); err != nil {
		t.Fatal(err)
	}
	return dir
}

func identity(t *testing.T, dir, service string) Identity {
	t.Helper()
	loaded, err := Load(dir, service)
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

func pair(t *testing.T, dir, name string) tls.Certificate {
	t.Helper()
	loaded, err := tls.LoadX509KeyPair(file(dir, name, ".pem"), file(dir, name, ".key"))
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

func without(config *tls.Config) *tls.Config { config.Certificates = nil; return config }

func with(config *tls.Config, certificate tls.Certificate) *tls.Config {
	// Offered whatever authorities the server asks for.
	config.Certificates = nil
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &certificate, nil }
	return config
}

func old(config *tls.Config) *tls.Config {
	config.MinVersion, config.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	return config
}

func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, entry := range entries {
		text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[entry.Name()] = string(text)
	}
	return all
}

// handshake connects a client to a server and tells whom the server sees. In
// TLS 1.3 the client learns of a refusal only when it reads.
func handshake(t *testing.T, server, client *tls.Config) (caller string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() //nolint:errcheck // of a test
	served := make(chan error, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			served <- err
			return
		}
		defer conn.Close() //nolint:errcheck // of a test
		secured := tls.Server(conn, server)
		if err := secured.HandshakeContext(ctx); err != nil {
			served <- err
			return
		}
		state := secured.ConnectionState()
		caller = CallerOf(&state)
		_, err = secured.Write([]byte("."))
		served <- err
	}()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // of a test
	secured := tls.Client(conn, client)
	clientErr := secured.HandshakeContext(ctx)
	if clientErr != nil {
		_ = conn.Close()
	} else {
		_, clientErr = secured.Read(make([]byte, 1))
	}
	return caller, errors.Join(<-served, clientErr)
}
