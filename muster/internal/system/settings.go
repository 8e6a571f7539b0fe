package system

import (
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/muster-id/muster/platform/database"
	"github.com/muster-id/muster/platform/devstack"
	"github.com/muster-id/muster/platform/secret"
)

// audience that access tokens are for.
const audience = "muster"

// names of the services, in the order in which they start.
var names = []string{"identity", "credentials", "media", "gateway"}

// operator is the name of the command line's own certificate. It is no service.
const operator = "operator"

// usual ports on 127.0.0.1: of each service, and of its metrics.
var usual = map[string]int{
	"gateway": 8080, "identity": 8081, "credentials": 8082, "media": 8083,
	metrics("gateway"): 9180, metrics("identity"): 9181, metrics("credentials"): 9182, metrics("media"): 9183,
}

// metrics names the port of a service's metrics.
func metrics(service string) string { return service + "-metrics" }

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

// places are where the services are, and what each finds where it runs.
type places struct {
	// listen and metrics are addresses to bind, reach is how the others get there.
	listen, metrics, reach func(service string) string
	// issuer is the public URL.
	issuer string
	// certificates is the folder of a service's own; firstAdmin the file for the
	// first administrator's one-time password.
	certificates, firstAdmin string
}

// onThisMachine has every service on a port of its own.
func onThisMachine(l layout, ports map[string]int) places {
	at := func(service string) string { return local(ports[service]) }
	return places{
		listen:       at,
		metrics:      func(service string) string { return at(metrics(service)) },
		reach:        at,
		issuer:       "http://" + at("gateway"),
		certificates: l.certificates(),
		firstAdmin:   l.adminPassword(),
	}
}

// settings gives each service its environment.
func settings(of places, keep secrets, databases map[string]database.URLs, broker secret.String, store devstack.S3) (map[string]environment, error) {
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
	inside := func(service string) string { return "https://" + of.reach(service) }
	all := map[string]environment{
		"identity": {
			"MUSTER_IDENTITY_LISTEN":                     of.listen("identity"),
			"MUSTER_IDENTITY_DATABASE_URL":               databases["identity"].Runtime.Reveal(),
			"MUSTER_IDENTITY_DATABASE_OWNER_URL":         databases["identity"].Owner.Reveal(),
			"MUSTER_IDENTITY_KEYRING_DATABASE_URL":       databases["keyring"].Runtime.Reveal(),
			"MUSTER_IDENTITY_KEYRING_DATABASE_OWNER_URL": databases["keyring"].Owner.Reveal(),
			"MUSTER_IDENTITY_BROKER_URL":                 broker.Reveal(),
			"MUSTER_IDENTITY_TOKEN_ISSUER":               of.issuer,
			"MUSTER_IDENTITY_TOKEN_AUDIENCE":             audience,
			"MUSTER_IDENTITY_CERTIFICATES":               of.certificates,
			"MUSTER_IDENTITY_CREDENTIALS_URL":            inside("credentials"),
			"MUSTER_IDENTITY_MEDIA_URL":                  inside("media"),
			"MUSTER_IDENTITY_KEY_ENCRYPTION_KEY_FILE":    identityKey,
			"MUSTER_IDENTITY_FIRST_ADMIN_PASSWORD_FILE":  of.firstAdmin,
		},
		"credentials": {
			"MUSTER_CREDENTIALS_LISTEN":                  of.listen("credentials"),
			"MUSTER_CREDENTIALS_DATABASE_URL":            databases["credentials"].Runtime.Reveal(),
			"MUSTER_CREDENTIALS_DATABASE_OWNER_URL":      databases["credentials"].Owner.Reveal(),
			"MUSTER_CREDENTIALS_BROKER_URL":              broker.Reveal(),
			"MUSTER_CREDENTIALS_TOKEN_ISSUER":            of.issuer,
			"MUSTER_CREDENTIALS_TOKEN_AUDIENCE":          audience,
			"MUSTER_CREDENTIALS_CERTIFICATES":            of.certificates,
			"MUSTER_CREDENTIALS_IDENTITY_URL":            inside("identity"),
			"MUSTER_CREDENTIALS_KEY_ENCRYPTION_KEY_FILE": credentialsKey,
		},
		"media": {
			"MUSTER_MEDIA_LISTEN":             of.listen("media"),
			"MUSTER_MEDIA_DATABASE_URL":       databases["media"].Runtime.Reveal(),
			"MUSTER_MEDIA_DATABASE_OWNER_URL": databases["media"].Owner.Reveal(),
			"MUSTER_MEDIA_BROKER_URL":         broker.Reveal(),
			"MUSTER_MEDIA_TOKEN_ISSUER":       of.issuer,
			"MUSTER_MEDIA_TOKEN_AUDIENCE":     audience,
			"MUSTER_MEDIA_CERTIFICATES":       of.certificates,
			"MUSTER_MEDIA_IDENTITY_URL":       inside("identity"),
			"MUSTER_MEDIA_CREDENTIALS_URL":    inside("credentials"),
			"MUSTER_MEDIA_S3_ENDPOINT":        store.Endpoint,
			"MUSTER_MEDIA_S3_REGION":          store.Region,
			"MUSTER_MEDIA_S3_ACCESS_KEY":      store.AccessKey,
			"MUSTER_MEDIA_S3_SECRET_KEY":      store.SecretKey.Reveal(),
		},
		"gateway": {
			"MUSTER_GATEWAY_LISTEN":               of.listen("gateway"),
			"MUSTER_GATEWAY_IDENTITY_URL":         inside("identity"),
			"MUSTER_GATEWAY_CREDENTIALS_URL":      inside("credentials"),
			"MUSTER_GATEWAY_MEDIA_URL":            inside("media"),
			"MUSTER_GATEWAY_TOKEN_ISSUER":         of.issuer,
			"MUSTER_GATEWAY_TOKEN_AUDIENCE":       audience,
			"MUSTER_GATEWAY_CERTIFICATES":         of.certificates,
			"MUSTER_GATEWAY_CONSISTENCY_KEY_FILE": consistencyKey,
		},
	}
	for service, environment := range all {
		environment[setting(service, "METRICS_LISTEN")] = of.metrics(service)
	}
	return all, nil
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
