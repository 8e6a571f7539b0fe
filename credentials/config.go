package credentials

import (
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/muster-id/muster/platform/password"
	"github.com/muster-id/muster/platform/secret"
)

// Config of credentials: settings MUSTER_CREDENTIALS_*.
type Config struct {
	Listen       string `env:"LISTEN" envDefault:"127.0.0.1:8082" desc:"Address of the port for the other services"`
	Certificates string `env:"CERTIFICATES,required" desc:"Folder with ca.pem, credentials.pem and credentials.key"`
	IdentityURL  string `env:"IDENTITY_URL,required" desc:"Where identity serves its event log and the keyring, https://host:port"`

	DatabaseURL         secret.String `env:"DATABASE_URL,required" desc:"Database, as the run-time role"`
	DatabaseOwnerURL    secret.String `env:"DATABASE_OWNER_URL,required" desc:"Database, as the owner, who runs migrations"`
	DatabaseConnections int32         `env:"DATABASE_CONNECTIONS" envDefault:"16" desc:"Connections to the database at most"`
	BrokerURL           secret.String `env:"BROKER_URL" desc:"RabbitMQ, amqp://…; without it, events come from identity's log alone"`

	MetricsListen string `env:"METRICS_LISTEN" desc:"Address of /metrics for Prometheus, HTTP without a password; empty for none"`

	KeyEncryptionKey secret.String `env:"KEY_ENCRYPTION_KEY,required" desc:"Seals signing keys and signs refresh tokens: 32 bytes in base64 or hexadecimal, the same for all replicas"`

	TokenIssuer          string        `env:"TOKEN_ISSUER,required" desc:"Issuer that access tokens name, the public URL"`
	TokenAudience        string        `env:"TOKEN_AUDIENCE,required" desc:"Audience that access tokens name"`
	AccessTokenLifetime  time.Duration `env:"ACCESS_TOKEN_LIFETIME" envDefault:"15m" desc:"How long an access token is good"`
	SessionIdleLifetime  time.Duration `env:"SESSION_IDLE_LIFETIME" envDefault:"720h" desc:"How long a session lives after each refresh"`
	SessionTotalLifetime time.Duration `env:"SESSION_TOTAL_LIFETIME" envDefault:"2160h" desc:"How long a session lives at all"`

	Passwords password.Settings
}

// checked is what Config means, after all its faults were looked for.
type checked struct {
	// sealingKey seals signing keys, refreshKey signs refresh tokens.
	sealingKey, refreshKey secret.Bytes
}

// check names all faults at once that reading the settings cannot find.
func (c Config) check() (checked, error) {
	var faults []error
	var result checked
	if err := c.Passwords.Params().Validate(); err != nil {
		faults = append(faults, fmt.Errorf("MUSTER_CREDENTIALS_PASSWORD_*: %w", err))
	}
	if c.AccessTokenLifetime < time.Second || c.AccessTokenLifetime > 24*time.Hour {
		faults = append(faults, errors.New("MUSTER_CREDENTIALS_ACCESS_TOKEN_LIFETIME has to be 1s to 24h"))
	}
	if c.SessionIdleLifetime < c.AccessTokenLifetime || c.SessionTotalLifetime < c.SessionIdleLifetime {
		faults = append(faults, errors.New("MUSTER_CREDENTIALS_SESSION_IDLE_LIFETIME has to lie between ACCESS_TOKEN_LIFETIME and SESSION_TOTAL_LIFETIME"))
	}
	if c.DatabaseConnections < 4 {
		faults = append(faults, errors.New("MUSTER_CREDENTIALS_DATABASE_CONNECTIONS has to be 4 or more"))
	}
	key, err := secret.ParseKey(c.KeyEncryptionKey)
	if err != nil {
		faults = append(faults, fmt.Errorf("MUSTER_CREDENTIALS_KEY_ENCRYPTION_KEY: %w", err))
		return result, errors.Join(faults...)
	}
	// One key to keep, two to use: what one of them does says nothing about the other.
	for purpose, derived := range map[string]*secret.Bytes{
		"muster credentials signing keys":   &result.sealingKey,
		"muster credentials refresh tokens": &result.refreshKey,
	} {
		bytes, err := hkdf.Key(sha256.New, key.Reveal(), nil, purpose, sha256.Size)
		if err != nil {
			faults = append(faults, fmt.Errorf("derive a key: %w", err))
		}
		*derived = secret.NewBytes(bytes)
	}
	return result, errors.Join(faults...)
}
