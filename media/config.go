package media

import (
	"errors"
	"fmt"
	"time"

	"github.com/muster-id/muster/media/internal/object"
	"github.com/muster-id/muster/platform/secret"
)

// Config of media: settings MUSTER_MEDIA_*.
type Config struct {
	Listen         string `env:"LISTEN" envDefault:"127.0.0.1:8083" desc:"Address of the internal port, mTLS"`
	Certificates   string `env:"CERTIFICATES,required" desc:"Folder with ca.pem, media.pem and media.key"`
	IdentityURL    string `env:"IDENTITY_URL,required" desc:"Where identity serves its event log and the keyring, https://host:port"`
	CredentialsURL string `env:"CREDENTIALS_URL,required" desc:"Where credentials listens, https://host:port; its keys verify access tokens"`

	DatabaseURL      secret.String `env:"DATABASE_URL,required" desc:"Database, as the run-time role"`
	DatabaseOwnerURL secret.String `env:"DATABASE_OWNER_URL,required" desc:"Database, as the owner, who runs migrations"`
	BrokerURL        secret.String `env:"BROKER_URL" desc:"RabbitMQ, amqp://user:password@host/vhost; empty for none"`

	TokenIssuer   string `env:"TOKEN_ISSUER,required" desc:"Issuer that access tokens must name"`
	TokenAudience string `env:"TOKEN_AUDIENCE,required" desc:"Audience that access tokens must name"`

	S3Endpoint       string        `env:"S3_ENDPOINT,required" desc:"S3 as this service reaches it, http://host:port"`
	S3PublicEndpoint string        `env:"S3_PUBLIC_ENDPOINT" desc:"S3 as browsers reach it, which presigned addresses name; the same if empty"`
	S3Region         string        `env:"S3_REGION" envDefault:"us-east-1" desc:"Region that requests to S3 are signed for"`
	S3Bucket         string        `env:"S3_BUCKET" envDefault:"muster" desc:"Bucket for all objects, made where it is missing, private"`
	S3AccessKey      string        `env:"S3_ACCESS_KEY,required" desc:"Access key of S3"`
	S3SecretKey      secret.String `env:"S3_SECRET_KEY,required" desc:"Secret key of S3"`

	MetricsListen string `env:"METRICS_LISTEN" desc:"Address of /metrics for Prometheus, HTTP without a password; empty for none"`

	MaxFileBytes   int64         `env:"MAX_FILE_BYTES" envDefault:"104857600" desc:"Largest file that is taken, in bytes"`
	URLLifetime    time.Duration `env:"URL_LIFETIME" envDefault:"5m" desc:"How long the address of a file is good"`
	UploadLifetime time.Duration `env:"UPLOAD_LIFETIME" envDefault:"15m" desc:"How long an upload may take, from its form to its completion"`
}

const (
	// largestFile is what S3 takes in one POST, and copies in one call.
	largestFile = 5 << 30
	// longestURL is how long S3's signature version 4 may hold.
	longestURL = 7 * 24 * time.Hour
)

// check names all faults at once that reading the settings cannot find.
func (c Config) check() error {
	var faults []error
	if c.MaxFileBytes < 1 || c.MaxFileBytes > largestFile {
		faults = append(faults, errors.New("MUSTER_MEDIA_MAX_FILE_BYTES has to be 1 to 5 GiB"))
	}
	if c.URLLifetime < time.Second || c.URLLifetime > longestURL {
		faults = append(faults, errors.New("MUSTER_MEDIA_URL_LIFETIME has to be 1s to 168h"))
	}
	if c.UploadLifetime < time.Second || c.UploadLifetime > object.LongestUpload {
		faults = append(faults, fmt.Errorf("MUSTER_MEDIA_UPLOAD_LIFETIME has to be 1s to %s", object.LongestUpload))
	}
	if err := c.storage().Check(); err != nil {
		faults = append(faults, fmt.Errorf("MUSTER_MEDIA_S3_*: %w", err))
	}
	return errors.Join(faults...)
}

func (c Config) storage() object.Config {
	return object.Config{
		Endpoint:       c.S3Endpoint,
		PublicEndpoint: c.S3PublicEndpoint,
		Region:         c.S3Region,
		Bucket:         c.S3Bucket,
		AccessKey:      c.S3AccessKey,
		SecretKey:      c.S3SecretKey,
	}
}
