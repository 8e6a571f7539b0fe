package devstack

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/muster-id/muster/platform/durable"
	"github.com/muster-id/muster/platform/secret"
)

const (
	postgresName  = "postgres"
	postgresTitle = "PostgreSQL"
	postgresImage = "postgres:15.18-bookworm"
	postgresBound = 30 * time.Second // a checkpoint on a slow disk
	// role is the superuser's name, and that of RabbitMQ's administrator.
	role = "muster"
)

// postgresSettings are the server's, as -c options.
func postgresSettings(throwaway bool) []string {
	settings := []string{"timezone=UTC", "log_timezone=UTC"}
	if throwaway {
		return append(settings, "max_connections=300", "fsync=off", "synchronous_commit=off", "full_page_writes=off", "autovacuum=off")
	}
	return append(settings, "max_connections=200")
}

func options(settings []string) []string {
	arguments := make([]string, 0, 2*len(settings))
	for _, setting := range settings {
		arguments = append(arguments, "-c", setting)
	}
	return arguments
}

// postgresVersion is the major version that made the data in a folder, "" if
// there are none.
func postgresVersion(folder string) (string, error) {
	text, err := os.ReadFile(filepath.Join(folder, "data", "PG_VERSION"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read version of PostgreSQL's data: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// startPostgres runs PostgreSQL until it answers.
func (s *Stack) startPostgres(ctx context.Context, source source) error {
	start := time.Now()
	ping := func(ctx context.Context) error { return pingPostgres(ctx, s.AdminURL) }
	if source.kind == byAddress {
		return reach(ctx, postgresTitle, PostgresEnv, ping)
	}
	password, err := s.directory.password(postgresName)
	if err != nil {
		return err
	}
	port := s.directory.state.Ports[postgresPort]
	var server *process
	if source.kind == byDocker {
		server, err = s.launchPostgresContainer(ctx, source, port, password)
	} else {
		server, err = s.launchPostgres(ctx, source, port, password)
	}
	if err != nil {
		return err
	}
	s.postgres = server
	if err := server.await(ctx, s.progress, ping); err != nil {
		return err
	}
	if err := s.directory.markWhole(postgresName); err != nil {
		return err
	}
	s.progress.say("%s ready on %s (%s)", postgresTitle, local(port), seconds(time.Since(start)))
	return nil
}

func (s *Stack) launchPostgres(ctx context.Context, source source, port int, password secret.String) (*process, error) {
	account := s.account
	folder, err := s.directory.folder(postgresName, account)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(folder, "data")
	version, err := postgresVersion(folder)
	if err != nil {
		return nil, err
	}
	if version == "" {
		if err := s.initPostgres(ctx, source, folder, data, account, password); err != nil {
			return nil, err
		}
	}
	if err := removeStalePID(data); err != nil {
		return nil, err
	}
	return s.directory.launch(command{
		name: postgresTitle, log: postgresName,
		argv: append([]string{filepath.Join(source.program, "postgres"), "-D", data}, options(append(postgresSettings(s.throwaway),
			"listen_addresses=127.0.0.1", "port="+strconv.Itoa(port), "unix_socket_directories="))...),
		env: serverEnvironment(folder), dir: folder, account: account,
		// At our death it drops everything at once and recovers at its next start.
		death: syscall.SIGQUIT, signal: s.postgresSignal(), bound: postgresBound,
	})
}

// initPostgres makes the data beside their place, so that a start that is cut
// off leaves nothing that looks like data.
func (s *Stack) initPostgres(ctx context.Context, source source, folder, data string, account *syscall.Credential, password secret.String) error {
	s.progress.say("%s: making its data in %s", postgresTitle, s.directory.file(postgresName))
	fresh := data + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return fmt.Errorf("make data of PostgreSQL: %w", err)
	}
	passwordFile := filepath.Join(folder, "password")
	if err := durable.Write(passwordFile, []byte(password.Reveal()+"\n"), 0o600); err != nil {
		return fmt.Errorf("make data of PostgreSQL: %w", err)
	}
	defer os.Remove(passwordFile) //nolint:errcheck // unreadable for others, and removed again at the next start
	if account != nil {
		if err := os.Lchown(passwordFile, int(account.Uid), int(account.Gid)); err != nil {
			return fmt.Errorf("make data of PostgreSQL: %w", err)
		}
	}
	argv := []string{filepath.Join(source.program, "initdb"), "-D", fresh, "--username=" + role, "--pwfile=" + passwordFile,
		"--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--data-checksums"}
	if s.throwaway {
		argv = append(argv, "--no-sync")
	}
	initdb, err := s.directory.launch(command{
		name: "initdb", log: "initdb", argv: argv, env: serverEnvironment(folder), dir: folder, account: account,
		death: syscall.SIGTERM, signal: syscall.SIGTERM, bound: probeBound,
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, readyBound)
	defer cancel()
	if err := initdb.finish(ctx); err != nil {
		return err
	}
	if err := os.Rename(fresh, data); err != nil {
		return fmt.Errorf("make data of PostgreSQL: %w", err)
	}
	return nil
}

// removeStalePID removes the pid file of a server that was killed. We hold the
// lock that it held, so it is gone; but its pid may be another process's by
// now, which PostgreSQL would take for its predecessor.
func removeStalePID(data string) error {
	err := os.Remove(filepath.Join(data, "postmaster.pid"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove stale pid file of PostgreSQL: %w", err)
	}
	return nil
}

func (s *Stack) launchPostgresContainer(ctx context.Context, source source, port int, password secret.String) (*process, error) {
	return s.launchContainer(ctx, container{
		server: postgresName, title: postgresTitle, image: source.image,
		ports:  map[int]int{port: 5432},
		volume: "/var/lib/postgresql/data",
		environment: []string{"POSTGRES_USER=" + role, "POSTGRES_PASSWORD=" + password.Reveal(), "POSTGRES_DB=postgres",
			"POSTGRES_INITDB_ARGS=--auth=scram-sha-256 --encoding=UTF8 --no-locale --data-checksums"},
		arguments: options(postgresSettings(s.throwaway)),
		signal:    s.postgresSignal(), bound: postgresBound,
	})
}

// postgresSignal ends PostgreSQL fast, and at once where nothing must be kept.
func (s *Stack) postgresSignal() syscall.Signal {
	if s.throwaway {
		return syscall.SIGQUIT
	}
	return syscall.SIGINT
}

func pingPostgres(ctx context.Context, address secret.String) error {
	connection, err := pgx.Connect(ctx, address.Reveal())
	if err != nil {
		return err
	}
	defer connection.Close(ctx) //nolint:errcheck // nothing is pending
	return connection.Ping(ctx)
}

// reach looks once at a server that somebody else runs.
func reach(ctx context.Context, name, env string, probe func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, 5*probeBound)
	defer cancel()
	if err := probe(ctx); err != nil {
		return fmt.Errorf("%s at the address in %s does not answer: %w", name, env, err)
	}
	return nil
}

// serverEnvironment is all that a server gets: ours could hold settings that
// change it.
func serverEnvironment(home string) []string {
	return []string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8"}
}
