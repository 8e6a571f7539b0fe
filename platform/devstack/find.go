package devstack

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/muster-id/muster/platform/secret"
)

// The environment that says where a server is already.
const (
	// PostgresEnv is the URL of a role that may create roles and databases.
	PostgresEnv = "MUSTER_POSTGRES_URL"
	// BrokerEnv is the AMQP URL of RabbitMQ.
	BrokerEnv = "MUSTER_AMQP_URL"
	// BrokerAPIEnv is the address of that RabbitMQ's management API, with user
	// and password; needed only where the management API is.
	BrokerAPIEnv = "MUSTER_RABBITMQ_API"
	// S3Env is the address of an S3 with its keys, http(s)://ACCESS:SECRET@host,
	// with ?region=… where it is not us-east-1.
	S3Env = "MUSTER_S3_URL"
)

// kind is how a server is run.
type kind string

const (
	byAddress kind = "address" // somebody else runs it
	byProgram kind = "program"
	byDocker  kind = "docker"
)

// source is where a server was found.
type source struct {
	kind kind
	url  secret.String // byAddress
	// byProgram: the directory of PostgreSQL's programs, or the path of
	// rabbitmq-server.
	program string
	epmd    string // RabbitMQ, byProgram
	image   string // byDocker
}

// part is a server to be found.
type part struct {
	name     string // for people
	key      string // for files
	env      string
	image    string
	packages []string
	program  func(context.Context, machine) (source, error)
	// remembered is the kind that holds data already, "" if there are none.
	remembered kind
}

// MissingError says that a program was found in none of the ways.
type MissingError struct {
	Program string
	Ways    []string // what each way came to, in order
}

func (e *MissingError) Error() string {
	return e.Program + " is missing. Tried in this order:\n  " + strings.Join(e.Ways, "\n  ") + "\nAny one of these helps."
}

// dockerBound is how long Docker may take to answer at all, pullBound how long
// an image may take to arrive.
const (
	dockerBound = 5 * time.Second
	pullBound   = 5 * time.Minute
)

// find finds each part: an address, a program, Docker, and then one run of the
// package manager for all that are missing, with further packages that are
// wanted anyway.
func find(ctx context.Context, m machine, p *progress, install installer, parts []part, further ...string) (map[string]source, error) {
	found := map[string]source{}
	ways := map[string][]string{}
	var missing []part
	for _, wanted := range parts {
		source, reasons, err := look(ctx, m, p, wanted)
		if err != nil {
			return nil, err
		}
		if source.kind == "" {
			missing = append(missing, wanted)
			ways[wanted.key] = reasons
			continue
		}
		found[wanted.key] = source
	}

	packages := slices.Clone(further)
	for _, wanted := range missing {
		packages = append(packages, wanted.packages...)
	}
	if len(packages) == 0 {
		return found, nil
	}
	installErr := install(ctx, packages)
	for _, wanted := range missing {
		err := installErr
		if err == nil {
			found[wanted.key], err = wanted.program(ctx, m)
		}
		if err != nil {
			return nil, &MissingError{Program: wanted.name, Ways: append(ways[wanted.key], "package manager: "+err.Error())}
		}
	}
	if installErr != nil {
		return nil, fmt.Errorf("install %s: %w", strings.Join(further, " "), installErr)
	}
	return found, nil
}

// look tries the ways that change nothing on the machine but Docker's images.
// No kind means that there is nothing, for the reasons given.
func look(ctx context.Context, m machine, p *progress, wanted part) (source, []string, error) {
	if address := m.Getenv(wanted.env); address != "" {
		p.say("%s: the one at %s", wanted.name, wanted.env)
		return source{kind: byAddress, url: secret.New(address)}, nil, nil
	}
	reasons := []string{"address: " + wanted.env + " is not set"}

	if wanted.remembered == byDocker {
		if err := docker(ctx, m, p, wanted); err != nil {
			return source{}, nil, fmt.Errorf("%s: the data of an earlier start lie in a volume of Docker: %w: start Docker, or choose another directory with --data", wanted.name, err)
		}
		return source{kind: byDocker, image: wanted.image}, nil, nil
	}

	program, err := wanted.program(ctx, m)
	if err == nil {
		return program, nil, nil
	}
	var version *VersionError
	if errors.As(err, &version) {
		return source{}, nil, err
	}
	reasons = append(reasons, "program: "+err.Error())

	if wanted.remembered == byProgram {
		return source{}, append(reasons, "Docker: not used, as the data of an earlier start were made by a program"), nil
	}
	if err := docker(ctx, m, p, wanted); err != nil {
		return source{}, append(reasons, "Docker: "+err.Error()), nil //nolint:nilerr // one reason of several, all told together
	}
	return source{kind: byDocker, image: wanted.image}, nil, nil
}

// docker tells whether Docker can run a part's image, and fetches it.
func docker(ctx context.Context, m machine, p *progress, wanted part) error {
	if _, err := m.LookPath("docker"); err != nil {
		return errors.New("there is no docker on PATH")
	}
	infoCtx, cancel := context.WithTimeout(ctx, dockerBound)
	defer cancel()
	if _, err := output(infoCtx, m, "docker", "info"); err != nil {
		return err
	}
	pullCtx, cancel := context.WithTimeout(ctx, pullBound)
	defer cancel()
	if _, err := output(pullCtx, m, "docker", "image", "inspect", wanted.image); err != nil {
		p.say("%s: docker pull %s (the first time only)", wanted.name, wanted.image)
		if _, err := output(pullCtx, m, "docker", "pull", "--quiet", wanted.image); err != nil {
			p.say("%s: %v", wanted.name, err)
			return err
		}
	}
	// An engine that answers may still be unable to run anything.
	if _, err := output(pullCtx, m, "docker", "run", "--rm", "--entrypoint", "true", wanted.image); err != nil {
		p.say("%s: %v", wanted.name, err)
		return err
	}
	return nil
}

// VersionError says that data were made by another version than any found.
type VersionError struct {
	Data  string // version that made the data
	Path  string // of the data
	Found []string
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("the data in %s were made by PostgreSQL %s, but there is only PostgreSQL %s: install that version, or choose another directory with --data",
		e.Path, e.Data, strings.Join(e.Found, ", "))
}

// findPostgres gives the first of the installed versions that fits the data in
// dir; any fits where there are none.
func findPostgres(dataVersion, dir string) func(context.Context, machine) (source, error) {
	return func(ctx context.Context, m machine) (source, error) {
		var others []string
		for _, programs := range postgresDirectories(m) {
			postgres := filepath.Join(programs, "postgres")
			answer, err := output(ctx, m, postgres, "--version") // postgres (PostgreSQL) 15.18 (Debian …)
			if err != nil {
				continue
			}
			version := majorVersion(answer)
			if dataVersion == "" || dataVersion == version {
				return source{kind: byProgram, program: programs}, nil
			}
			others = append(others, version)
		}
		if len(others) > 0 {
			return source{}, &VersionError{Data: dataVersion, Path: dir, Found: others}
		}
		return source{}, errors.New("no initdb and postgres on PATH, nor in /usr/lib/postgresql/*/bin")
	}
}

func postgresDirectories(m machine) []string {
	var directories []string
	if postgres, err := m.LookPath("postgres"); err == nil {
		// A link on PATH may stand alone; initdb and the libraries lie by the program.
		if target, err := filepath.EvalSymlinks(postgres); err == nil {
			postgres = target
		}
		directories = append(directories, filepath.Dir(postgres))
	}
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin"} {
		installed := m.Glob(pattern)
		slices.Reverse(installed) // the newest first
		directories = append(directories, installed...)
	}
	return slices.DeleteFunc(directories, func(directory string) bool {
		return len(m.Glob(filepath.Join(directory, "initdb"))) == 0
	})
}

// majorVersion reads it from `postgres --version`, "" where it is not there.
func majorVersion(answer string) string {
	_, version, _ := strings.Cut(answer, ") ")
	end := strings.IndexFunc(version, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		return version
	}
	return version[:end]
}

// findBroker looks for RabbitMQ's own start script. The one that distributions
// put on PATH is a wrapper that changes to a user of its own.
func findBroker(_ context.Context, m machine) (source, error) {
	servers := m.Glob("/usr/lib/rabbitmq/bin/rabbitmq-server")
	servers = append(servers, m.Glob("/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server")...)
	if onPath, err := m.LookPath("rabbitmq-server"); err == nil {
		if target, err := filepath.EvalSymlinks(onPath); err == nil && filepath.Base(target) == "rabbitmq-server" && filepath.Dir(onPath) != "/usr/sbin" {
			servers = append([]string{target}, servers...)
		}
	}
	if len(servers) == 0 {
		return source{}, errors.New("no rabbitmq-server on PATH (a wrapper in /usr/sbin does not count), nor in /usr/lib/rabbitmq")
	}
	if _, err := m.LookPath("erl"); err != nil {
		return source{}, errors.New("RabbitMQ is there, but no erl on PATH")
	}
	epmds := append(m.Glob("/usr/lib/erlang/erts-*/bin/epmd"), m.Glob("/usr/local/lib/erlang/erts-*/bin/epmd")...)
	if onPath, err := m.LookPath("epmd"); err == nil {
		epmds = append([]string{onPath}, epmds...)
	}
	if len(epmds) == 0 {
		return source{}, errors.New("RabbitMQ is there, but no epmd on PATH nor in /usr/lib/erlang")
	}
	return source{kind: byProgram, program: servers[0], epmd: epmds[0]}, nil
}
