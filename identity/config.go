package identity

import (
	"errors"
	"fmt"

	"github.com/muster-id/muster/identity/internal/keyring"
	"github.com/muster-id/muster/platform/loginname"
	"github.com/muster-id/muster/platform/password"
	"github.com/muster-id/muster/platform/secret"
)

// Config of identity: settings MUSTER_IDENTITY_*.
type Config struct {
	Listen         string `env:"LISTEN" envDefault:"127.0.0.1:8081" desc:"Address of the internal port, mTLS"`
	Certificates   string `env:"CERTIFICATES,required" desc:"Folder with ca.pem, identity.pem and identity.key"`
	CredentialsURL string `env:"CREDENTIALS_URL,required" desc:"Where credentials listens, https://host:port; its keys verify access tokens"`
	MediaURL       string `env:"MEDIA_URL,required" desc:"Where media serves its event log, https://host:port; who has which picture comes from there"`

	DatabaseURL             secret.String `env:"DATABASE_URL,required" desc:"Identity's database, as the run-time role"`
	DatabaseOwnerURL        secret.String `env:"DATABASE_OWNER_URL,required" desc:"The same as its owner, for migrations"`
	KeyringDatabaseURL      secret.String `env:"KEYRING_DATABASE_URL,required" desc:"The keyring's database, as the run-time role"`
	KeyringDatabaseOwnerURL secret.String `env:"KEYRING_DATABASE_OWNER_URL,required" desc:"The same as its owner, for migrations"`
	BrokerURL               secret.String `env:"BROKER_URL" desc:"RabbitMQ, amqp://user:password@host/vhost; empty for none"`

	MetricsListen string `env:"METRICS_LISTEN" desc:"Address of /metrics for Prometheus, HTTP without a password; empty for none"`

	KeyEncryptionKey secret.String `env:"KEY_ENCRYPTION_KEY,required" desc:"Wraps the keys of the keyring: 32 bytes, base64 or hexadecimal"`

	AdminUsername          string `env:"ADMIN_USERNAME" envDefault:"admin" desc:"Username of the first administrator"`
	AdminEmail             string `env:"ADMIN_EMAIL" envDefault:"admin@muster.internal" desc:"Email address of the first administrator"`
	FirstAdminPasswordFile string `env:"FIRST_ADMIN_PASSWORD_FILE,required" desc:"Where the first administrator's one-time password is written, mode 0600"`

	TokenIssuer   string `env:"TOKEN_ISSUER,required" desc:"Issuer that access tokens must name"`
	TokenAudience string `env:"TOKEN_AUDIENCE,required" desc:"Audience that access tokens must name"`

	Passwords password.Settings
}

// check names all faults at once that reading the settings cannot find, and
// gives the key that one of them means.
func (c Config) check() (keyring.KeyEncryptionKey, error) {
	var faults []error
	fault := func(setting string, err error) {
		if err != nil {
			faults = append(faults, fmt.Errorf("MUSTER_IDENTITY_%s: %w", setting, err))
		}
	}
	kek, err := keyring.ParseKeyEncryptionKey(c.KeyEncryptionKey)
	fault("KEY_ENCRYPTION_KEY", err)
	fault("PASSWORD_*", c.Passwords.Params().Validate())
	_, err = loginname.Username(c.AdminUsername)
	fault("ADMIN_USERNAME", err)
	_, err = loginname.Email(c.AdminEmail)
	fault("ADMIN_EMAIL", err)
	if c.FirstAdminPasswordFile == "" {
		fault("FIRST_ADMIN_PASSWORD_FILE", errors.New("it is empty"))
	}
	return kek, errors.Join(faults...)
}
