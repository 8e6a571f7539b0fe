package devstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"
)

// machine is what finding and installing a program asks of the computer.
type machine interface {
	Getenv(name string) string
	// LookPath finds a program on PATH.
	LookPath(program string) (string, error)
	Glob(pattern string) []string
	// Run runs a command to its end; its output goes to out.
	Run(ctx context.Context, out io.Writer, command ...string) error
	Root() bool
	// Terminal tells whether somebody can type a password.
	Terminal() bool
	// Account looks a user up, nil if there is none.
	Account(name string) (*syscall.Credential, error)
}

// computer is the machine that we run on.
type computer struct{ getenv func(string) string }

var _ machine = computer{}

func (c computer) Getenv(name string) string { return c.getenv(name) }

func (computer) LookPath(program string) (string, error) { return exec.LookPath(program) }

func (computer) Glob(pattern string) []string {
	paths, _ := filepath.Glob(pattern) // the patterns are ours
	return paths
}

func (computer) Run(ctx context.Context, out io.Writer, command ...string) error {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...) //nolint:gosec // the commands are ours
	cmd.Stdin = os.Stdin                                        // sudo may ask for a password
	cmd.Stdout, cmd.Stderr = out, out
	// A package manager that is cut off must be able to tidy up.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	return cmd.Run()
}

func (computer) Root() bool { return os.Geteuid() == 0 }

func (computer) Terminal() bool { return term.IsTerminal(int(os.Stdin.Fd())) }

func (computer) Account(name string) (*syscall.Credential, error) {
	found, err := user.Lookup(name)
	var unknown user.UnknownUserError
	if errors.As(err, &unknown) {
		return nil, nil //nolint:nilnil // no such user is an answer
	}
	if err != nil {
		return nil, fmt.Errorf("look up user %s: %w", name, err)
	}
	uid, uidErr := strconv.ParseUint(found.Uid, 10, 32)
	gid, gidErr := strconv.ParseUint(found.Gid, 10, 32)
	if err := errors.Join(uidErr, gidErr); err != nil {
		return nil, fmt.Errorf("look up user %s: %w", name, err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// output runs a command and gives its last line of output with the error, which
// is where programs say what was wrong.
func output(ctx context.Context, m machine, command ...string) (string, error) {
	var out strings.Builder
	if err := m.Run(ctx, &out, command...); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		if last := lastLine(out.String()); last != "" {
			return "", fmt.Errorf("%s %s: %w: %s", command[0], command[1], err, last)
		}
		return "", fmt.Errorf("%s %s: %w", command[0], command[1], err)
	}
	return strings.TrimSpace(out.String()), nil
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}

// serverAccount is the user that servers run as when we are root, which
// PostgreSQL refuses to be: the first that exists, else one made here.
func serverAccount(ctx context.Context, m machine, p *progress, names ...string) (*syscall.Credential, error) {
	if !m.Root() {
		return nil, nil //nolint:nilnil // our own user
	}
	const own = "muster"
	for _, name := range append(names, own) {
		account, err := m.Account(name)
		if account != nil || err != nil {
			return account, err
		}
	}
	p.say("no user to run servers as: making the system user %s", own)
	if _, err := output(ctx, m, "useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin", own); err != nil {
		return nil, fmt.Errorf("make the user that servers run as: %w", err)
	}
	account, err := m.Account(own)
	if account == nil && err == nil {
		err = fmt.Errorf("make the user that servers run as: %s is not there after useradd", own)
	}
	return account, err
}
