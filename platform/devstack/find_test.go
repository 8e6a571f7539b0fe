package devstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// fakeMachine has what a test gives it, and writes down what is run.
type fakeMachine struct {
	environment map[string]string
	path        []string            // programs on PATH
	globs       map[string][]string // pattern → files
	outputs     map[string]string   // command prefix → what it prints
	failures    map[string]string   // command prefix → what it prints when it fails
	user        bool                // not root
	terminal    bool
	accounts    []string
	onRun       func(command string)

	ran []string
}

func (m *fakeMachine) Getenv(name string) string { return m.environment[name] }

func (m *fakeMachine) LookPath(program string) (string, error) {
	if slices.Contains(m.path, program) {
		return "/bin/" + program, nil
	}
	return "", exec.ErrNotFound
}

func (m *fakeMachine) Glob(pattern string) []string { return slices.Clone(m.globs[pattern]) }

func (m *fakeMachine) Run(_ context.Context, out io.Writer, argv ...string) error {
	command := strings.Join(argv, " ")
	if script := strings.Index(command, "sh -c "); script >= 0 {
		command = command[:script] + "install.sh " + strings.Join(argv[slices.Index(argv, "muster-install")+2:], " ")
	}
	m.ran = append(m.ran, command)
	if m.onRun != nil {
		m.onRun(command)
	}
	for prefix, said := range m.failures {
		if strings.HasPrefix(command, prefix) {
			_, _ = fmt.Fprintln(out, said)
			return errors.New("exit status 1")
		}
	}
	for prefix, said := range m.outputs {
		if strings.HasPrefix(command, prefix) {
			_, _ = fmt.Fprintln(out, said)
		}
	}
	return nil
}

func (m *fakeMachine) Root() bool     { return !m.user }
func (m *fakeMachine) Terminal() bool { return m.terminal }

func (m *fakeMachine) Account(name string) (*syscall.Credential, error) {
	if i := slices.Index(m.accounts, name); i >= 0 {
		return &syscall.Credential{Uid: uint32(i + 1)}, nil //nolint:gosec // a test
	}
	return nil, nil //nolint:nilnil // as the real one
}

// install makes the programs of RabbitMQ appear.
func (m *fakeMachine) installBroker() {
	m.path = append(m.path, "erl", "epmd")
	m.globs = map[string][]string{"/usr/lib/rabbitmq/bin/rabbitmq-server": {"/usr/lib/rabbitmq/bin/rabbitmq-server"}}
}

func brokerPart() part {
	return part{name: brokerTitle, key: brokerName, env: BrokerEnv, image: "image", packages: []string{"rabbitmq-server"}, program: findBroker}
}

// A missing program is looked for in the order of the four ways.
func TestWaysAreTriedInOrder(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		machine func() *fakeMachine
		part    func() part
		want    source
		ran     []string
		failure []string // in the error, in this order
	}{
		{
			name: "an address comes before everything",
			machine: func() *fakeMachine {
				m := &fakeMachine{environment: map[string]string{BrokerEnv: "amqp://elsewhere"}, path: []string{"docker", "apt-get"}}
				m.installBroker()
				return m
			},
			want: source{kind: byAddress},
		},
		{
			name: "an installed program comes before Docker",
			machine: func() *fakeMachine {
				m := &fakeMachine{path: []string{"docker", "apt-get"}}
				m.installBroker()
				return m
			},
			want: source{kind: byProgram, program: "/usr/lib/rabbitmq/bin/rabbitmq-server", epmd: "/bin/epmd"},
		},
		{
			name: "the distribution's wrapper is not the program",
			machine: func() *fakeMachine {
				return &fakeMachine{path: []string{"rabbitmq-server", "erl", "epmd", "docker"}}
			},
			want: source{kind: byDocker, image: "image"},
			ran:  []string{"docker info", "docker image inspect image", "docker run --rm --entrypoint true image"},
		},
		{
			name: "Docker pulls the image that it lacks",
			machine: func() *fakeMachine {
				return &fakeMachine{path: []string{"docker", "apt-get"}, failures: map[string]string{"docker image inspect": "no such image"}}
			},
			want: source{kind: byDocker, image: "image"},
			ran:  []string{"docker info", "docker image inspect image", "docker pull --quiet image", "docker run --rm --entrypoint true image"},
		},
		{
			name: "without Docker's engine the package manager installs",
			machine: func() *fakeMachine {
				m := &fakeMachine{path: []string{"docker", "apt-get"}, failures: map[string]string{"docker info": "cannot connect"}}
				m.onRun = func(command string) {
					if strings.HasPrefix(command, "install.sh") {
						m.installBroker()
					}
				}
				return m
			},
			want: source{kind: byProgram, program: "/usr/lib/rabbitmq/bin/rabbitmq-server", epmd: "/bin/epmd"},
			ran:  []string{"docker info", "install.sh rabbitmq-server"},
		},
		{
			name: "an image that cannot be pulled leads to the package manager, through sudo",
			machine: func() *fakeMachine {
				m := &fakeMachine{user: true, path: []string{"docker", "apt-get", "sudo"}, failures: map[string]string{"docker image": "none", "docker pull": "no route"}}
				m.onRun = func(command string) {
					if strings.Contains(command, "install.sh") {
						m.installBroker()
					}
				}
				return m
			},
			want: source{kind: byProgram, program: "/usr/lib/rabbitmq/bin/rabbitmq-server", epmd: "/bin/epmd"},
			ran:  []string{"docker info", "docker image inspect image", "docker pull --quiet image", "sudo -n true", "sudo -n install.sh rabbitmq-server"},
		},
		{
			name: "when all fail, the error names the four ways",
			machine: func() *fakeMachine {
				return &fakeMachine{user: true, path: []string{"docker", "apt-get", "sudo"}, failures: map[string]string{"docker info": "cannot connect", "sudo -n true": "a password is required"}}
			},
			ran: []string{"docker info", "sudo -n true"},
			failure: []string{
				"RabbitMQ is missing",
				"address: MUSTER_AMQP_URL is not set",
				"program: no rabbitmq-server on PATH",
				"Docker: docker info: exit status 1: cannot connect",
				"package manager: apt-get needs root, and sudo asks for a password",
				"apt-get install --no-install-recommends rabbitmq-server",
			},
		},
		{
			name: "data in a volume of Docker are not left for a program",
			machine: func() *fakeMachine {
				m := &fakeMachine{failures: map[string]string{"docker info": "cannot connect"}}
				m.installBroker()
				m.path = append(m.path, "docker")
				return m
			},
			part: func() part {
				p := brokerPart()
				p.remembered = byDocker
				return p
			},
			ran:     []string{"docker info"},
			failure: []string{"data of an earlier start lie in a volume of Docker", "cannot connect"},
		},
		{
			name:    "data of a program are not left for Docker",
			machine: func() *fakeMachine { return &fakeMachine{path: []string{"docker"}} },
			part: func() part {
				p := brokerPart()
				p.remembered = byProgram
				return p
			},
			failure: []string{"Docker: not used", "package manager: there is no apt-get"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m := test.machine()
			wanted := brokerPart()
			if test.part != nil {
				wanted = test.part()
			}
			var said strings.Builder
			p := newProgress(&said)
			install := aptInstaller(m, p, temporaryLog(t))
			found, err := find(t.Context(), m, p, install, []part{wanted})
			if len(test.failure) == 0 && err != nil {
				t.Fatal(err)
			}
			if len(test.failure) > 0 {
				mustSayInOrder(t, err, test.failure)
			}
			got := found[brokerName]
			if test.want.kind == byAddress && got.url.Reveal() != "amqp://elsewhere" {
				t.Error("the address is not the one in the environment")
			}
			got.url = test.want.url
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("found %+v, want %+v", got, test.want)
			}
			if !reflect.DeepEqual(m.ran, test.ran) {
				t.Errorf("ran %q, want %q", m.ran, test.ran)
			}
			if installed := strings.Contains(strings.Join(m.ran, "\n"), "install.sh"); installed != strings.Contains(said.String(), "installing rabbitmq-server") {
				t.Errorf("said %q", said.String())
			}
		})
	}
}

// What several programs lack is installed in one run, with what the race
// detector lacks.
func TestOneInstallationForAll(t *testing.T) {
	t.Parallel()
	m := &fakeMachine{path: []string{"apt-get"}}
	m.onRun = func(command string) {
		if strings.HasPrefix(command, "install.sh") {
			m.installBroker()
			m.globs["/usr/lib/postgresql/*/bin"] = []string{"/usr/lib/postgresql/15/bin"}
			m.globs["/usr/lib/postgresql/15/bin/initdb"] = []string{"/usr/lib/postgresql/15/bin/initdb"}
		}
	}
	p := newProgress(nil)
	postgres := part{name: postgresTitle, key: postgresName, env: PostgresEnv, packages: []string{"postgresql"}, program: findPostgres("", "")}
	found, err := find(t.Context(), m, p, aptInstaller(m, p, temporaryLog(t)), []part{postgres, brokerPart()}, raceTools(t.Context(), m)...)
	if err != nil {
		t.Fatal(err)
	}
	if found[postgresName].program != "/usr/lib/postgresql/15/bin" {
		t.Errorf("found %+v", found[postgresName])
	}
	if want := "install.sh gcc libc6-dev postgresql rabbitmq-server"; m.ran[0] != want {
		t.Errorf("ran %q, want %q first", m.ran, want)
	}
}

// Data need the version that made them.
func TestPostgresFitsTheData(t *testing.T) {
	t.Parallel()
	m := &fakeMachine{
		globs: map[string][]string{
			"/usr/lib/postgresql/*/bin":         {"/usr/lib/postgresql/15/bin", "/usr/lib/postgresql/17/bin"},
			"/usr/lib/postgresql/15/bin/initdb": {"x"}, "/usr/lib/postgresql/17/bin/initdb": {"x"},
		},
		outputs: map[string]string{
			"/usr/lib/postgresql/15/bin/postgres": "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)",
			"/usr/lib/postgresql/17/bin/postgres": "postgres (PostgreSQL) 17beta1",
		},
	}
	for version, want := range map[string]string{"": "/usr/lib/postgresql/17/bin", "15": "/usr/lib/postgresql/15/bin", "17": "/usr/lib/postgresql/17/bin"} {
		found, err := findPostgres(version, "data")(t.Context(), m)
		if err != nil || found.program != want {
			t.Errorf("for data of version %q: %q, %v; want %q", version, found.program, err, want)
		}
	}
	_, err := findPostgres("16", "data")(t.Context(), m)
	var mismatch *VersionError
	if !errors.As(err, &mismatch) {
		t.Errorf("for data of version 16: %v, want a VersionError", err)
	}
}

// Root's servers get a user of their own; one that exists already before one
// that has to be made.
func TestServersHaveAUser(t *testing.T) {
	t.Parallel()
	p := newProgress(nil)
	ours := &fakeMachine{user: true}
	if account, err := serverAccount(t.Context(), ours, p, "postgres"); account != nil || err != nil {
		t.Errorf("as ourselves: %v, %v", account, err)
	}
	exists := &fakeMachine{accounts: []string{"muster", "postgres"}}
	if account, err := serverAccount(t.Context(), exists, p, "postgres"); err != nil || account.Uid != 2 || exists.ran != nil {
		t.Errorf("the user that exists: %v, %v, ran %q", account, err, exists.ran)
	}
	made := &fakeMachine{}
	made.onRun = func(string) { made.accounts = []string{"muster"} }
	account, err := serverAccount(t.Context(), made, p, "postgres")
	if err != nil || account.Uid != 1 || !strings.HasPrefix(made.ran[0], "useradd --system") {
		t.Errorf("the user that is made: %v, %v, ran %q", account, err, made.ran)
	}
}

// Containers are reachable from this machine only, carry no password in their
// command line, and can be found again.
func TestContainerCommand(t *testing.T) {
	t.Parallel()
	s := &Stack{directory: &directory{state: state{ID: "abcd"}}}
	c := container{
		server: postgresName, image: postgresImage, ports: map[int]int{25432: 5432}, volume: "/data",
		environment: []string{"POSTGRES_PASSWORD=secret"}, arguments: []string{"-c", "fsync=off"},
	}
	want := "docker run --rm --label muster.devstack=abcd-postgres --env-file /env --volume muster-abcd-postgres:/data " +
		"--publish 127.0.0.1:25432:5432 " + postgresImage + " -c fsync=off"
	if got := strings.Join(s.dockerRun(c, "/env"), " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// fakeDocker makes a stack whose engine is a fake: it has the volumes, and the
// containers until they are removed.
func fakeDocker(t *testing.T, volumes, containers string) (*Stack, *fakeMachine) {
	t.Helper()
	m := &fakeMachine{outputs: map[string]string{"docker volume ls": volumes, "docker ps": containers}}
	m.onRun = func(command string) {
		switch {
		case strings.HasPrefix(command, "docker volume rm"):
			m.outputs["docker volume ls"] = ""
		case strings.HasPrefix(command, "docker rm"):
			m.outputs["docker ps"] = ""
		}
	}
	return &Stack{machine: m, directory: &directory{path: t.TempDir(), state: state{ID: "abcd"}}}, m
}

// The images take half-made data for whole ones: what a first start that was
// cut off has left is thrown away. Data of a server that has answered never are.
func TestHalfMadeVolumeIsThrownAway(t *testing.T) {
	t.Parallel()
	const volume = "muster-abcd-postgres"
	for name, test := range map[string]struct {
		volumes string
		void    bool // before
		removed bool
		after   bool // void
	}{
		"the first start":                      {volumes: "other-" + volume, after: true},
		"after a first start that was cut off": {volumes: volume, void: true, removed: true, after: true},
		"after a start that had answered":      {volumes: "other\n" + volume},
	} {
		s, m := fakeDocker(t, test.volumes, "")
		if test.void {
			if err := s.directory.markVoid(postgresName); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.prepareVolume(t.Context(), postgresName); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if removed := slices.Contains(m.ran, "docker volume rm --force "+volume); removed != test.removed {
			t.Errorf("%s: ran %q, want removed %v", name, m.ran, test.removed)
		}
		if got := s.directory.isVoid(postgresName); got != test.after {
			t.Errorf("%s: void is %v, want %v", name, got, test.after)
		}
	}
	s, m := fakeDocker(t, volume, "")
	m.failures = map[string]string{"docker volume ls": "cannot connect"}
	if err := s.prepareVolume(t.Context(), postgresName); err == nil || s.directory.isVoid(postgresName) {
		t.Errorf("without an answer of the engine: %v, want an error and the data left alone", err)
	}
}

// A container outlives a "docker run" that was killed. It ends in order, unless
// there is nothing to keep.
func TestLeftContainerIsRemoved(t *testing.T) {
	t.Parallel()
	const list, remove = "docker ps --all --quiet --filter label=muster.devstack=abcd-rabbitmq", "docker rm --force --volumes 1f 2e"
	for name, test := range map[string]struct {
		left  string
		grace time.Duration
		void  bool
		want  []string
	}{
		"none is left":              {grace: time.Minute, want: []string{list}},
		"in order":                  {left: "1f\n2e", grace: time.Minute, want: []string{list, "docker stop -t 60 1f 2e", remove, list}},
		"at once":                   {left: "1f\n2e", want: []string{list, remove, list}},
		"in a first start's middle": {left: "1f\n2e", grace: time.Minute, void: true, want: []string{list, remove, list}},
	} {
		s, m := fakeDocker(t, "", test.left)
		if test.void {
			if err := s.directory.markVoid(brokerName); err != nil {
				t.Fatal(err)
			}
		}
		// Docker complains where --rm comes first: gone is gone.
		m.failures = map[string]string{"docker rm": "removal of container 1f is already in progress"}
		if err := s.removeContainers(t.Context(), brokerName, test.grace); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !slices.Equal(m.ran, test.want) {
			t.Errorf("%s: ran %q, want %q", name, m.ran, test.want)
		}
	}
}

// A start ends what an earlier one has left in Docker, and asks Docker nothing
// about other servers.
func TestStartRemovesWhatWasLeft(t *testing.T) {
	t.Parallel()
	s, m := fakeDocker(t, "", "1f")
	sources := map[string]source{brokerName: {kind: byDocker}, postgresName: {kind: byProgram}}
	if err := s.removeLeft(t.Context(), sources); err != nil {
		t.Fatal(err)
	}
	const list = "docker ps --all --quiet --filter label=muster.devstack=abcd-rabbitmq"
	if want := []string{list, "docker stop -t 30 1f", "docker rm --force --volumes 1f", list}; !slices.Equal(m.ran, want) {
		t.Errorf("ran %q, want %q", m.ran, want)
	}
}

// A throwaway stack keeps its data over a stop of the broker, and starts empty.
func TestThrowawayVolumeIsVoidAtTheStart(t *testing.T) {
	t.Parallel()
	s, _ := fakeDocker(t, "", "")
	s.directory.state.Kinds = map[string]kind{brokerName: byDocker, postgresName: byProgram}
	if err := s.discard(); err != nil {
		t.Fatal(err)
	}
	if !s.directory.isVoid(brokerName) || s.directory.isVoid(postgresName) {
		t.Error("not exactly the volume of the server in Docker is void")
	}
}

// RabbitMQ's home has what it runs and all that this needs, and nothing else;
// an installation of another layout is left alone.
func TestBrokerHome(t *testing.T) {
	t.Parallel()
	installed := t.TempDir()
	for name, needed := range map[string]string{
		"rabbit": "kernel, ra, 'rabbit_common'", "ra": "kernel,\n  aten", "aten": "", "rabbit_common": "jsx", "jsx": "",
		"rabbitmq_prelaunch": "kernel", "rabbitmq_management": "cowboy", "cowboy": "", "rabbitmq_mqtt": "rabbit",
	} {
		description := "{application, " + name + ", [{modules, []}, {applications, [" + needed + "]}]}."
		write(t, filepath.Join(installed, "plugins", name+"-1.0/ebin", name+".app"), description, 0o644)
	}
	program := filepath.Join(installed, "sbin/rabbitmq-server")
	write(t, program, "", 0o755)

	tests := map[string]struct{ plugins, want []string }{
		"bare":            {nil, []string{"aten", "jsx", "ra", "rabbit", "rabbit_common", "rabbitmq_prelaunch"}},
		"with management": {[]string{"rabbitmq_management"}, []string{"aten", "cowboy", "jsx", "ra", "rabbit", "rabbit_common", "rabbitmq_management", "rabbitmq_prelaunch"}},
	}
	for name, test := range tests {
		folder := t.TempDir()
		scripts, err := brokerHome(program, folder, test.plugins...)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(scripts, "rabbitmq-server")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		found, err := filepath.Glob(filepath.Join(folder, "home/plugins/*/ebin/*.app"))
		if err != nil {
			t.Fatal(err)
		}
		for i := range found {
			found[i] = strings.TrimSuffix(filepath.Base(found[i]), ".app")
		}
		slices.Sort(found)
		if !slices.Equal(found, test.want) {
			t.Errorf("%s: %q, want %q", name, found, test.want)
		}
	}

	write(t, filepath.Join(installed, "plugins/packed-1.0.ez"), "", 0o644)
	if scripts, err := brokerHome(program, t.TempDir()); scripts != "" || err != nil {
		t.Errorf("with an archive: %q, %v; want the installation as it is", scripts, err)
	}
}

// The script's effects, with a root directory and programs of the test's own:
// while packages are installed no service may start and no cluster is made, and
// afterwards the machine's own files stand as before.
func TestInstallScript(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		before map[string]string // files in the root
		fails  bool
		after  map[string]string // "" for none
	}{
		{
			name:   "a machine without such files",
			before: map[string]string{"etc/postgresql-common/createcluster.conf": "#create_main_cluster = true\n"},
			after: map[string]string{
				"usr/sbin/policy-rc.d": "", "etc/postgresql-common/createcluster.conf": "#create_main_cluster = true\n",
			},
		},
		{
			name: "a machine with a policy of its own, where the installation fails",
			before: map[string]string{
				"usr/sbin/policy-rc.d": "own policy", "etc/postgresql-common/createcluster.conf": "own clusters\n",
			},
			fails: true,
			after: map[string]string{
				"usr/sbin/policy-rc.d": "own policy", "etc/postgresql-common/createcluster.conf": "own clusters\n",
			},
		},
		{
			name: "a run that was killed has left its files",
			before: map[string]string{
				"usr/sbin/policy-rc.d":                                   "# made by muster for one installation\n",
				"usr/sbin/policy-rc.d.before-muster":                     "own policy",
				"etc/postgresql-common/createcluster.conf":               "# made by muster for one installation\ncreate_main_cluster = false\n",
				"etc/postgresql-common/createcluster.conf.before-muster": "own clusters\n",
			},
			after: map[string]string{
				"usr/sbin/policy-rc.d": "own policy", "etc/postgresql-common/createcluster.conf": "own clusters\n",
				"usr/sbin/policy-rc.d.before-muster": "",
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			for _, folder := range []string{"bin", "usr/sbin", "etc/postgresql-common", "etc/rc2.d", "etc/systemd/system/multi-user.target.wants"} {
				write(t, filepath.Join(root, folder, ".here"), "", 0o644)
			}
			for name, text := range test.before {
				write(t, filepath.Join(root, name), text, 0o755)
			}
			// A service that was there before is not ours to switch off.
			link(t, filepath.Join(root, "etc/systemd/system/multi-user.target.wants/other.service"))
			apt := `#!/bin/sh
case "$*" in
*' install '*)
    echo "apt-get: policy $(sh "$ROOT/usr/sbin/policy-rc.d"; echo $?), cluster $(tail -n 1 "$ROOT/etc/postgresql-common/createcluster.conf"): ${*##* install }"
    ln -sf /nowhere "$ROOT/etc/systemd/system/multi-user.target.wants/rabbitmq-server.service"
    ln -sf /nowhere "$ROOT/etc/rc2.d/S01rabbitmq-server"
    [ -z "$FAILS" ] || exit 100 ;;
esac
`
			write(t, filepath.Join(root, "bin/apt-get"), apt, 0o755)
			write(t, filepath.Join(root, "bin/update-rc.d"), "#!/bin/sh\necho update-rc.d $*\n", 0o755)
			command := exec.CommandContext(t.Context(), "sh", "-c", installScript, "muster-install", root, "postgresql", "rabbitmq-server")
			command.Env = []string{"PATH=" + filepath.Join(root, "bin") + ":" + os.Getenv("PATH"), "ROOT=" + root}
			if test.fails {
				command.Env = append(command.Env, "FAILS=1")
			}
			said, err := command.CombinedOutput()
			if (err != nil) != test.fails {
				t.Errorf("the script ended with %v:\n%s", err, said)
			}
			if !test.fails {
				for _, want := range []string{
					"apt-get: policy 101, cluster create_main_cluster = false: postgresql rabbitmq-server",
					"disabling rabbitmq-server.service",
					"update-rc.d rabbitmq-server disable",
				} {
					if !strings.Contains(string(said), want) {
						t.Errorf("it did not say %q:\n%s", want, said)
					}
				}
				links, err := filepath.Glob(filepath.Join(root, "etc/systemd/system/*.wants/*.service"))
				if err != nil || len(links) != 1 || filepath.Base(links[0]) != "other.service" {
					t.Errorf("enabled are %q, %v; want the service that was so before", links, err)
				}
			}
			for name, want := range test.after {
				got, err := os.ReadFile(filepath.Join(root, name))
				if (want == "") != errors.Is(err, os.ErrNotExist) || string(got) != want {
					t.Errorf("%s holds %q, %v; want %q", name, got, err, want)
				}
			}
		})
	}
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func link(t *testing.T, path string) {
	t.Helper()
	write(t, filepath.Join(filepath.Dir(path), ".here"), "", 0o644)
	if err := os.Symlink("/nowhere", path); err != nil {
		t.Fatal(err)
	}
}

func temporaryLog(t *testing.T) func() (*os.File, error) {
	t.Helper()
	return func() (*os.File, error) { return os.Create(filepath.Join(t.TempDir(), "install.log")) }
}

func mustSayInOrder(t *testing.T, err error, wanted []string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	rest := err.Error()
	for _, want := range wanted {
		_, after, found := strings.Cut(rest, want)
		if !found {
			t.Fatalf("the error does not say %q at its place:\n%v", want, err)
		}
		rest = after
	}
}
