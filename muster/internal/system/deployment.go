package system

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/muster-id/muster/platform/certificate"
	"github.com/muster-id/muster/platform/database"
	"github.com/muster-id/muster/platform/devstack"
	"github.com/muster-id/muster/platform/durable"
	"github.com/muster-id/muster/platform/secret"
)

// Deployment is a Muster whose parts run elsewhere, in containers for example,
// each of which sees only its own folder:
//
//	authority/   what signs certificates, and the passwords of the databases
//	<service>/   its certificate and its settings, mounted as /etc/muster
//	operator/    the certificate of the command line, likewise
//	postgres/    password of the role muster
//	rabbitmq/    10-muster.conf: its user and password
//	minio/       user, password
type Deployment struct {
	// Dir is where all the folders are.
	Dir string
	// Host names that the services reach the servers by.
	Postgres, RabbitMQ, MinIO string
	// URL is the public one of the API, and FilesURL that of the storage.
	URL, FilesURL string
}

const (
	// inContainer is where a service finds its folder.
	inContainer = "/etc/muster"
	// firstAdminFile is where identity keeps what it writes.
	firstAdminFile = "/var/lib/muster/admin-password"
	// adminRole is the role on PostgreSQL and RabbitMQ that owns the rest.
	adminRole = "muster"
)

// Init makes what is missing of keys, passwords, certificates and settings. It
// may be repeated: what is there stays, but settings are written anew.
func (d Deployment) Init() error {
	if err := d.init(); err != nil {
		return fmt.Errorf("prepare %s: %w", d.Dir, err)
	}
	return nil
}

func (d Deployment) init() error {
	keep := d.secrets()
	if err := certificate.MakeAuthority(d.authority(), append([]string{operator}, names...)...); err != nil {
		return err
	}
	postgres, err := keep.value("postgres")
	if err != nil {
		return err
	}
	broker, err := keep.value("rabbitmq")
	if err != nil {
		return err
	}
	minio, err := keep.value("minio")
	if err != nil {
		return err
	}
	// The servers run as users of their own, so these may be read by all; but
	// only their own containers have them.
	for path, text := range map[string]string{
		"postgres/password":       postgres.Reveal(),
		"rabbitmq/10-muster.conf": "default_user = " + adminRole + "\ndefault_pass = " + broker.Reveal() + "\nlog.console = true",
		"minio/user":              adminRole,
		"minio/password":          minio.Reveal(),
	} {
		if err := d.write(path, text+"\n", 0o444); err != nil {
			return err
		}
	}
	databases, err := d.databases(keep)
	if err != nil {
		return err
	}
	amqp := secret.New((&url.URL{Scheme: "amqp", User: url.UserPassword(adminRole, broker.Reveal()), Host: net.JoinHostPort(d.RabbitMQ, "5672"), Path: "/"}).String())
	store := devstack.S3{Endpoint: "http://" + net.JoinHostPort(d.MinIO, "9000"), Region: "us-east-1", AccessKey: adminRole, SecretKey: minio}
	environments, err := settings(inContainers(d.URL), keep, databases, amqp, store)
	if err != nil {
		return err
	}
	environments["media"]["MUSTER_MEDIA_S3_PUBLIC_ENDPOINT"] = d.FilesURL
	// The port is published on the host's loopback alone, and no proxy stands
	// before it whose word would be taken.
	environments["gateway"]["MUSTER_GATEWAY_ALLOW_PLAINTEXT"] = "true"
	environments["gateway"]["MUSTER_GATEWAY_TRUSTED_PROXIES"] = "127.0.0.1/32"
	for _, service := range names {
		if err := d.writeService(service, environments[service]); err != nil {
			return err
		}
	}
	return d.writeCertificate(operator)
}

// Provision makes the databases and roles that are missing.
func (d Deployment) Provision(ctx context.Context) error {
	keep := d.secrets()
	password, err := keep.value("postgres")
	if err != nil {
		return err
	}
	_, err = provision(ctx, secret.New(d.postgres(adminRole, password, "postgres")), keep)
	return err
}

// inContainers has every service in a container of its own name.
func inContainers(issuer string) places {
	port := func(service string) string { return fmt.Sprint(usual[service]) }
	return places{
		listen:       func(service string) string { return net.JoinHostPort("0.0.0.0", port(service)) },
		metrics:      func(service string) string { return net.JoinHostPort("0.0.0.0", port(metrics(service))) },
		reach:        func(service string) string { return net.JoinHostPort(service, port(service)) },
		issuer:       issuer,
		certificates: inContainer,
		firstAdmin:   firstAdminFile,
	}
}

// databases are the addresses that Provision makes good.
func (d Deployment) databases(keep secrets) (map[string]database.URLs, error) {
	all := make(map[string]database.URLs, len(schemas))
	for name := range schemas {
		spec, err := specOf(name, keep)
		if err != nil {
			return nil, err
		}
		all[name] = database.URLs{
			Owner:   secret.New(d.postgres(spec.Owner.Name, spec.Owner.Password, spec.Database)),
			Runtime: secret.New(d.postgres(spec.Runtime.Name, spec.Runtime.Password, spec.Database)),
		}
	}
	return all, nil
}

func (d Deployment) postgres(role string, password secret.String, name string) string {
	address := url.URL{
		Scheme: "postgres", User: url.UserPassword(role, password.Reveal()),
		Host: net.JoinHostPort(d.Postgres, "5432"), Path: "/" + name, RawQuery: "sslmode=disable",
	}
	return address.String()
}

// writeService gives a service its folder. Keys travel in the settings, since
// their files stay in the authority's folder.
func (d Deployment) writeService(service string, of environment) error {
	var text strings.Builder
	for _, pair := range of.pairs() {
		name, value, _ := strings.Cut(pair, "=")
		if key, inFile := strings.CutSuffix(name, "_KEY_FILE"); inFile {
			read, err := os.ReadFile(value) //nolint:gosec // a path of ours
			if err != nil {
				return err
			}
			name, value = key+"_KEY", strings.TrimSpace(string(read))
		}
		fmt.Fprintf(&text, "%s=%s\n", name, value)
	}
	return errors.Join(d.write(service+"/settings", text.String(), 0o400), d.writeCertificate(service))
}

// writeCertificate gives a service, or the operator, what it shows to the others.
func (d Deployment) writeCertificate(name string) error {
	for _, file := range []string{"ca.pem", name + ".pem", name + ".key"} {
		read, err := os.ReadFile(filepath.Join(d.authority(), file)) //nolint:gosec // a path of ours
		if err != nil {
			return err
		}
		if err := d.write(filepath.Join(name, file), string(read), 0o400); err != nil {
			return err
		}
	}
	return nil
}

func (d Deployment) write(path, text string, mode os.FileMode) error {
	path = filepath.Join(d.Dir, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // the files in it say who may read them
		return err
	}
	return durable.Write(path, []byte(text), mode)
}

func (d Deployment) authority() string { return filepath.Join(d.Dir, "authority") }
func (d Deployment) secrets() secrets  { return secrets{filepath.Join(d.authority(), "secrets")} }
