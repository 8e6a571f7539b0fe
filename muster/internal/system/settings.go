package system

import (
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/muster-id/muster/platform/database"
	"github.com/muster-id/muster/platform/secret"
)

// audience that access tokens are for.
const audience = "muster"

// names of the services, in the order in which they start.
var names = []string{"identity", "credentials", "gateway"}

// usual ports on 127.0.0.1.
var usual = map[string]int{"gateway": 8080, "identity": 8081, "credentials": 8082}

// layout is where things are in the data directory.
type layout struct{ dir string }

func (l layout) secrets() secrets          { return secrets{filepath.Join(l.dir, "secrets")} }
func (l layout) certificates() string      { return filepath.Join(l.dir, "certificates") }
func (l layout) adminPassword() string     { return filepath.Join(l.dir, "admin-password") }
func (l layout) log(service string) string { return filepath.Join(l.dir, "log", service+".log") }

// environment is what a service is configured with, by setting.
type environment map[string]string

// pairs as os.Environ gives them. They hold passwords.
func (e environment) pairs() []string {
	pairs := make([]string, 0, len(e))
	for _, name := range slices.Sorted(maps.Keys(e)) {
		pairs = append(pairs, name+"="+e[name])
	}
	return pairs
}

// settings gives each service its environment.
func settings(l layout, databases map[string]database.URLs, broker secret.String, ports map[string]int) (map[string]environment, error) {
	keep := l.secrets()
	identityKey, err := keep.path("identity-key-encryption-key")
	if err != nil {
		return nil, err
	}
	credentialsKey, err := keep.path("credentials-key-encryption-key")
	if err != nil {
		return nil, err
	}
	consistencyKey, err := keep.path("gateway-consistency-key")
	if err != nil {
		return nil, err
	}
	issuer := "http://" + local(ports["gateway"])
	inside := func(service string) string { return "https://" + local(ports[service]) }
	return map[string]environment{
		"identity": {
			"MUSTER_IDENTITY_LISTEN":                     local(ports["identity"]),
			"MUSTER_IDENTITY_DATABASE_URL":               databases["identity"].Runtime.Reveal(),
			"MUSTER_IDENTITY_DATABASE_OWNER_URL":         databases["identity"].Owner.Reveal(),
			"MUSTER_IDENTITY_KEYRING_DATABASE_URL":       databases["keyring"].Runtime.Reveal(),
			"MUSTER_IDENTITY_KEYRING_DATABASE_OWNER_URL": databases["keyring"].Owner.Reveal(),
			"MUSTER_IDENTITY_BROKER_URL":                 broker.Reveal(),
			"MUSTER_IDENTITY_TOKEN_ISSUER":               issuer,
			"MUSTER_IDENTITY_TOKEN_AUDIENCE":             audience,
			"MUSTER_IDENTITY_CERTIFICATES":               l.certificates(),
			"MUSTER_IDENTITY_CREDENTIALS_URL":            inside("credentials"),
			"MUSTER_IDENTITY_KEY_ENCRYPTION_KEY_FILE":    identityKey,
			"MUSTER_IDENTITY_FIRST_ADMIN_PASSWORD_FILE":  l.adminPassword(),
		},
		"credentials": {
			"MUSTER_CREDENTIALS_LISTEN":                  local(ports["credentials"]),
			"MUSTER_CREDENTIALS_DATABASE_URL":            databases["credentials"].Runtime.Reveal(),
			"MUSTER_CREDENTIALS_DATABASE_OWNER_URL":      databases["credentials"].Owner.Reveal(),
			"MUSTER_CREDENTIALS_BROKER_URL":              broker.Reveal(),
			"MUSTER_CREDENTIALS_TOKEN_ISSUER":            issuer,
			"MUSTER_CREDENTIALS_TOKEN_AUDIENCE":          audience,
			"MUSTER_CREDENTIALS_CERTIFICATES":            l.certificates(),
			"MUSTER_CREDENTIALS_IDENTITY_URL":            inside("identity"),
			"MUSTER_CREDENTIALS_KEY_ENCRYPTION_KEY_FILE": credentialsKey,
		},
		"gateway": {
			"MUSTER_GATEWAY_LISTEN":               local(ports["gateway"]),
			"MUSTER_GATEWAY_IDENTITY_URL":         inside("identity"),
			"MUSTER_GATEWAY_CREDENTIALS_URL":      inside("credentials"),
			"MUSTER_GATEWAY_TOKEN_ISSUER":         issuer,
			"MUSTER_GATEWAY_TOKEN_AUDIENCE":       audience,
			"MUSTER_GATEWAY_CERTIFICATES":         l.certificates(),
			"MUSTER_GATEWAY_CONSISTENCY_KEY_FILE": consistencyKey,
		},
	}, nil
}

// overlay lets settings from our own environment through, so that
// `MUSTER_GATEWAY_ALLOWED_ORIGINS=… muster up` does what it says. What up itself
// decides cannot be set there.
func (e environment) overlay(service string, environ []string) error {
	for _, pair := range environ {
		name, value, ours := cutSetting(service, pair)
		if !ours {
			continue
		}
		if _, decided := e[name]; decided {
			return fmt.Errorf("%s is decided by `muster up` itself: unset it, or run `muster serve %s`", name, service)
		}
		e[name] = value
	}
	return nil
}

func local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
