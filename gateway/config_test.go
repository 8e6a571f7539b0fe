package gateway

import (
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/muster-id/muster/platform/config"
	"github.com/muster-id/muster/platform/secret"
)

func TestSettings(t *testing.T) {
	t.Parallel()
	var c Config
	err := config.Load("gateway", &c, "", []string{
		"MUSTER_GATEWAY_IDENTITY_URL=https://127.0.0.1:9001",
		"MUSTER_GATEWAY_CREDENTIALS_URL=https://127.0.0.1:9002",
		"MUSTER_GATEWAY_MEDIA_URL=https://127.0.0.1:9003",
		"MUSTER_GATEWAY_CERTIFICATES=/certificates",
		"MUSTER_GATEWAY_CONSISTENCY_KEY=" + strings.Repeat("k", 32),
		"MUSTER_GATEWAY_TOKEN_ISSUER=" + issuer,
		"MUSTER_GATEWAY_TOKEN_AUDIENCE=" + audience,
		"MUSTER_GATEWAY_ALLOWED_ORIGINS=https://a.example.com,http://localhost:5173",
		"MUSTER_GATEWAY_TRUSTED_PROXIES=10.0.0.0/8,::1/128",
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.Listen != "127.0.0.1:8080" || c.UpstreamTimeout != 5*time.Second || len(c.AllowedOrigins) != 2 || len(c.TrustedProxies) != 2 {
		t.Errorf("got %+v", c)
	}
	if _, err := c.check(); err != nil {
		t.Error(err)
	}
}

func TestAllFaultsAreNamedAtOnce(t *testing.T) {
	t.Parallel()
	_, err := New(t.Context(), Config{
		Listen:         "0.0.0.0:8080",
		TLSKey:         "key.pem",
		AllowedOrigins: []string{"*", "https://a.example.com/path"},
	}, slog.New(slog.DiscardHandler))
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{`"*"`, "/path", "TLS_CERTIFICATE", "UPSTREAM_TIMEOUT"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not named in: %v", want, err)
		}
	}
}

func TestPasswordsInClearStayOnThisMachine(t *testing.T) {
	t.Parallel()
	for listen, ok := range map[string]bool{
		"127.0.0.1:8080": true, "[::1]:8080": true, "localhost:8080": true, "127.8.9.1:0": true,
		"0.0.0.0:8080": false, ":8080": false, "[::]:8080": false, "192.168.1.5:8080": false, "gateway:8080": false,
		"localhost.example.com:8080": false, "8080": false,
	} {
		c := Config{Listen: listen, UpstreamTimeout: time.Second}
		_, err := c.check()
		if (err == nil) != ok {
			t.Errorf("%s: %v", listen, err)
		}
		if err != nil && !strings.Contains(err.Error(), "MUSTER_GATEWAY_ALLOW_PLAINTEXT") {
			t.Errorf("%s: the error does not say what to do: %v", listen, err)
		}
		c.AllowPlaintext = true
		_, err = c.check()
		if (err == nil) != ok {
			t.Errorf("%s, without a proxy: %v", listen, err)
		}
		if err != nil && !strings.Contains(err.Error(), "MUSTER_GATEWAY_TRUSTED_PROXIES") {
			t.Errorf("%s: the error does not name the proxies: %v", listen, err)
		}
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		if _, err := c.check(); err != nil {
			t.Errorf("%s, allowed: %v", listen, err)
		}
	}
}

func TestAShortConsistencyKeyIsNamed(t *testing.T) {
	t.Parallel()
	_, err := New(t.Context(), Config{Listen: "127.0.0.1:0", UpstreamTimeout: time.Second, ConsistencyKey: secret.New("short-canary")},
		slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "MUSTER_GATEWAY_CONSISTENCY_KEY") || strings.Contains(err.Error(), "canary") {
		t.Errorf("got %v", err)
	}
}
