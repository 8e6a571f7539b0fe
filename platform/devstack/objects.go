package devstack

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"syscall"
	"time"

	"github.com/muster-id/muster/platform/secret"
)

const (
	objectsName  = "s3"
	objectsTitle = "S3"
	objectsBound = 15 * time.Second // it lets requests end for 10 s
	// usualRegion is S3's name for where it is, if nothing else is said.
	usualRegion = "us-east-1"
)

// The environment in which an object server finds the keys of its one account.
const (
	AccessKeyEnv = "MUSTER_S3_ACCESS_KEY"
	SecretKeyEnv = "MUSTER_S3_SECRET_KEY" //nolint:gosec // its name
)

// ObjectServer is a program that serves S3 from a directory. It is started with
// --data DIR and --listen HOST:PORT after its own arguments, and with keys in
// AccessKeyEnv and SecretKeyEnv. This package cannot bring one: the server is
// the calling program itself.
type ObjectServer struct {
	// Command is the program and its first arguments.
	Command []string
	// Environ is what it needs in its environment besides.
	Environ []string
}

// S3 is where objects are.
type S3 struct {
	Endpoint  string // http(s)://host:port
	Region    string
	AccessKey string
	SecretKey secret.String
}

// URL is all of it in one, as S3Env has it.
func (s S3) URL() secret.String {
	address, err := url.Parse(s.Endpoint)
	if err != nil || s.Endpoint == "" {
		return secret.String{}
	}
	address.User = url.UserPassword(s.AccessKey, s.SecretKey.Reveal())
	if s.Region != usualRegion {
		address.RawQuery = url.Values{"region": {s.Region}}.Encode()
	}
	return secret.New(address.String())
}

// parseS3 reads what S3Env holds. Its errors do not quote it.
func parseS3(text secret.String) (S3, error) {
	address, err := url.Parse(text.Reveal())
	if err != nil || address.Scheme != "http" && address.Scheme != "https" || address.Host == "" || address.User == nil || address.Path != "" && address.Path != "/" {
		return S3{}, fmt.Errorf("%s has to be http(s)://ACCESS:SECRET@host:port, with no path", S3Env)
	}
	password, _ := address.User.Password()
	if address.User.Username() == "" || password == "" {
		return S3{}, fmt.Errorf("%s has to hold both keys: http(s)://ACCESS:SECRET@host:port", S3Env)
	}
	region := address.Query().Get("region")
	if region == "" {
		region = usualRegion
	}
	return S3{
		Endpoint: address.Scheme + "://" + address.Host, Region: region,
		AccessKey: address.User.Username(), SecretKey: secret.New(password),
	}, nil
}

// objects is S3's part of a stack.
type objects struct {
	kept
	server  ObjectServer
	account *syscall.Credential // nil for our own
}

// findObjects needs no search: the program is always there.
func (s *Stack) findObjects(config Config) source {
	if len(config.ObjectServer.Command) == 0 {
		return source{}
	}
	if address := s.machine.Getenv(S3Env); address != "" {
		s.progress.say("%s: the one at %s", objectsTitle, S3Env)
		return source{kind: byAddress, url: secret.New(address)}
	}
	return source{kind: byProgram, program: config.ObjectServer.Command[0]}
}

// executableByOthers tells whether another user may run a program. One that was
// built under a strict umask runs as ours.
func executableByOthers(program string) bool {
	info, err := os.Stat(program)
	return err == nil && info.Mode().Perm()&0o001 != 0
}

func (s *Stack) addressObjects() error {
	if !s.objects.wanted() {
		return nil
	}
	if !s.objects.ours() {
		var err error
		s.S3, err = parseS3(s.objects.source.url)
		return err
	}
	password, err := s.directory.password(objectsName)
	if err != nil {
		return err
	}
	s.S3 = S3{Endpoint: "http://" + local(s.directory.state.Ports[objectsPort]), Region: usualRegion, AccessKey: role, SecretKey: password}
	return nil
}

// AwaitS3 waits until S3 has answered for the first time. One at an address that
// does not answer is ErrNotOurs.
func (s *Stack) AwaitS3(ctx context.Context) error { return s.objects.await(ctx) }

// StopS3 stops S3, under a running system. Stopping it twice is no fault.
func (s *Stack) StopS3() error { return s.objects.down() }

// StartS3 starts a stopped S3 on the same port and waits until it answers.
// Starting it twice is no fault.
func (s *Stack) StartS3(ctx context.Context) error { return s.objects.up(ctx) }

func (s *Stack) launchObjects(context.Context) (*process, error) {
	folder, err := s.directory.folder(objectsName, s.objects.account)
	if err != nil {
		return nil, err
	}
	argv := append([]string{}, s.objects.server.Command...)
	environment := append(serverEnvironment(folder), s.objects.server.Environ...)
	return s.directory.launch(command{
		name: objectsTitle, log: objectsName,
		argv: append(argv, "--data", folder, "--listen", local(s.directory.state.Ports[objectsPort])),
		env:  append(environment, AccessKeyEnv+"="+s.S3.AccessKey, SecretKeyEnv+"="+s.S3.SecretKey.Reveal()),
		dir:  folder, account: s.objects.account,
		// It writes an object beside its place and links it there, so that a kill
		// leaves whole ones only.
		death: syscall.SIGKILL, signal: syscall.SIGTERM, bound: objectsBound,
	})
}

// pingObjects asks for anything: a refusal is an answer.
func (s *Stack) pingObjects(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.S3.Endpoint+"/", nil)
	if err != nil {
		return fmt.Errorf("ask S3: %w", err)
	}
	request.Close = true // no connection stays open for one question
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close() //nolint:errcheck // read only
	if _, err := io.Copy(io.Discard, io.LimitReader(response.Body, 1<<20)); err != nil {
		return err
	}
	if response.StatusCode >= http.StatusInternalServerError {
		return fmt.Errorf("S3 answers %s", response.Status)
	}
	return nil
}
