package system

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/muster-id/muster/platform/certificate"
)

// Each service of a deployment finds settings that it takes, and nothing of
// another one's; a second preparation keeps every secret.
func TestADeploymentIsPreparedOnceAndEachServiceSeesItsOwn(t *testing.T) {
	t.Parallel()
	d := Deployment{
		Dir: t.TempDir(), Postgres: "postgres", RabbitMQ: "rabbitmq", MinIO: "minio",
		URL: "http://127.0.0.1:8080", FilesURL: "http://127.0.0.1:9000",
	}
	if err := d.Init(); err != nil {
		t.Fatal(err)
	}
	first := texts(t, d.Dir)
	if err := d.Init(); err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(first, texts(t, d.Dir)) {
		t.Error("a second preparation changed something")
	}

	for service, program := range Services() {
		err := program.Check(filepath.Join(d.Dir, service, "settings"), nil)
		if err != nil {
			t.Errorf("%s does not take its settings: %v", service, err)
		}
	}
	if _, err := certificate.Load(filepath.Join(d.Dir, "operator"), "operator"); err != nil {
		t.Errorf("the command line has no certificate: %v", err)
	}
	for path := range first {
		if dir, name, _ := strings.Cut(path, "/"); dir == "operator" && !strings.HasPrefix(name, "operator.") && name != "ca.pem" {
			t.Errorf("the command line has %s", name)
		}
	}
	for path, text := range first {
		secret, kept := strings.CutPrefix(path, "authority/secrets/")
		if !kept {
			continue
		}
		// What is of one service stands in the folder of none other.
		for _, service := range names {
			owner := strings.TrimSuffix(strings.TrimSuffix(strings.TrimPrefix(secret, "postgres-"), "-owner"), "-key-encryption-key")
			if owner = strings.TrimSuffix(owner, "-consistency-key"); owner == "keyring" {
				owner = "identity"
			}
			has := strings.Contains(first[service+"/settings"], strings.TrimSpace(text))
			switch {
			case secret == "postgres" && has:
				t.Errorf("%s has the password of the server's administrator", service)
			case owner == service && !has:
				t.Errorf("%s lacks %s", service, secret)
			case owner != service && secret != "rabbitmq" && secret != "minio" && has:
				t.Errorf("%s has %s", service, secret)
			case secret == "minio" && has != (service == "media"):
				t.Errorf("%s has the storage's password: %v", service, has)
			}
		}
	}
}

// A deployment that was made before there was a command line gets its
// certificate, and nothing else changes.
func TestAnOlderDeploymentGetsTheOperatorsCertificate(t *testing.T) {
	t.Parallel()
	d := Deployment{Dir: t.TempDir(), Postgres: "postgres", RabbitMQ: "rabbitmq", MinIO: "minio", URL: "http://127.0.0.1:8080", FilesURL: "http://127.0.0.1:9000"}
	if err := d.Init(); err != nil {
		t.Fatal(err)
	}
	for _, newer := range []string{"operator", "authority/operator.pem", "authority/operator.key"} {
		if err := os.RemoveAll(filepath.Join(d.Dir, newer)); err != nil {
			t.Fatal(err)
		}
	}
	before := texts(t, d.Dir)
	if err := d.Init(); err != nil {
		t.Fatal(err)
	}
	after := texts(t, d.Dir)
	for path, text := range before {
		if after[path] != text {
			t.Errorf("%s has changed", path)
		}
	}
	if _, err := certificate.Load(filepath.Join(d.Dir, "operator"), "operator"); err != nil {
		t.Error(err)
	}
}

// texts of all files, by path; a secret's file may be read by its owner alone.
func texts(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		service, _, _ := strings.Cut(name, "/")
		ofServer := service == "postgres" || service == "rabbitmq" || service == "minio"
		if !ofServer && !strings.HasSuffix(name, ".pem") && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s may be read by others: %v", name, info.Mode())
		}
		text, err := os.ReadFile(path)
		all[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
