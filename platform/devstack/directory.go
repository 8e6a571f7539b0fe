package devstack

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/muster-id/muster/platform/durable"
	"github.com/muster-id/muster/platform/secret"
)

// shared is where root's servers keep their data.
const shared = "/var/lib/muster"

// leftoverBound is how long a start waits for the servers of a killed process
// to finish dying.
const leftoverBound = 20 * time.Second

// BusyError says that another process uses the data directory.
type BusyError struct {
	Dir string
	PID int
}

func (e *BusyError) Error() string {
	return fmt.Sprintf("%s is in use by process %d: stop it (muster down), or choose another directory with --data", e.Dir, e.PID)
}

// directory is a locked data directory.
//
//	lock               held while we or one of our servers lives; our pid
//	servers.json       what must be the same at the next start
//	<server>.password  mode 0600
//	<server>.void      while its volume of Docker holds nothing to keep
//	log/<server>.log   and the one before it, .log.1
//	<server>/          data; as root a link to a directory of the server's user
type directory struct {
	path  string
	lock  *os.File
	state state
}

// state is what the next start must find again.
type state struct {
	// ID tells this directory from one that had the same path before.
	ID string `json:"id"`
	// Ports by name.
	Ports map[string]int `json:"ports"`
	// Kinds tells for each server whether a program or Docker holds its data.
	Kinds map[string]kind `json:"kinds"`
}

func openDirectory(ctx context.Context, path string) (*directory, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(path, "log"), 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	d := &directory{path: path}
	if err := d.acquire(ctx); err != nil {
		return nil, err
	}
	if err := d.load(); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

// acquire takes the lock. Our servers inherit the locked file, so that the
// kernel lets the lock go when the last of them is gone: a start right after
// kill -9 waits here for the servers that are still dying.
func (d *directory) acquire(ctx context.Context) error {
	file, err := os.OpenFile(filepath.Join(d.path, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("lock data directory: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, leftoverBound)
	defer cancel()
	impatient := time.Now().Add(leftoverBound / 2)
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			break
		}
		pid := readPID(file)
		switch {
		case !errors.Is(err, syscall.EWOULDBLOCK):
			err = fmt.Errorf("lock data directory: %w", err)
		case alive(pid):
			err = &BusyError{Dir: d.path, PID: pid}
		default:
			if time.Now().After(impatient) {
				killHolders(file)
			}
			err = pause(ctx, 50*time.Millisecond)
			if err == nil {
				continue
			}
			err = fmt.Errorf("lock data directory: servers of process %d, which is gone, are still running: %w", pid, err)
		}
		return errors.Join(err, file.Close())
	}
	d.lock = file
	if err := writePID(file, os.Getpid()); err != nil {
		d.close()
		return fmt.Errorf("lock data directory: %w", err)
	}
	return nil
}

// Holder tells which process holds a data directory, 0 if none does. While the
// servers of a killed process are dying it is still that process, and gone is
// true: its number may be another program's by now.
func Holder(dir string) (pid int, gone bool, err error) {
	file, err := os.Open(filepath.Join(dir, "lock"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("look at the lock of the data directory: %w", err)
	}
	defer file.Close() //nolint:errcheck // read only
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		pid = readPID(file)
		holders, known := holders(file)
		return pid, !alive(pid) || known && !slices.Contains(holders, pid), nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("look at the lock of the data directory: %w", err)
	}
	return 0, false, nil
}

// killHolders kills the processes that hold the lock of a file: servers that
// were asked to end and do not.
func killHolders(file *os.File) {
	pids, _ := holders(file)
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGKILL) // gone already, or another user's: the bound tells
	}
}

// holders are the processes that hold the lock of a file, itself or inherited,
// where the system lists them. Who has it open only, to look, is none.
func holders(file *os.File) (pids []int, known bool) {
	own, err := file.Stat()
	if err != nil {
		return nil, false
	}
	descriptors, _ := filepath.Glob("/proc/[0-9]*/fd/*") // the pattern is right
	for _, descriptor := range descriptors {
		if other, err := os.Stat(descriptor); err != nil || !os.SameFile(own, other) {
			continue
		}
		info, err := os.ReadFile(strings.Replace(descriptor, "/fd/", "/fdinfo/", 1))
		if err != nil || !bytes.Contains(info, []byte("FLOCK  ADVISORY  WRITE")) {
			continue
		}
		if pid, err := strconv.Atoi(strings.Split(descriptor, "/")[2]); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, len(descriptors) > 0
}

func readPID(file *os.File) int {
	text := make([]byte, 20)
	n, _ := file.ReadAt(text, 0) // short, always
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text[:n])))
	return pid
}

func writePID(file *os.File, pid int) error {
	if err := file.Truncate(0); err != nil {
		return err
	}
	_, err := file.WriteAt([]byte(strconv.Itoa(pid)+"\n"), 0)
	return err
}

func alive(pid int) bool {
	return pid > 0 && !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}

// close lets the lock go, for those too that have inherited it: a program that
// another goroutine is about to start may hold a copy for a moment.
func (d *directory) close() {
	_ = syscall.Flock(int(d.lock.Fd()), syscall.LOCK_UN)
	_ = d.lock.Close()
}

func (d *directory) load() error {
	text, err := os.ReadFile(d.file("servers.json"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.state.ID = random(4)
	case err != nil:
		return fmt.Errorf("read data directory: %w", err)
	default:
		if err := json.Unmarshal(text, &d.state); err != nil {
			return fmt.Errorf("read %s: %w", d.file("servers.json"), err)
		}
	}
	if d.state.Ports == nil {
		d.state.Ports = map[string]int{}
	}
	if d.state.Kinds == nil {
		d.state.Kinds = map[string]kind{}
	}
	return nil
}

func (d *directory) save() error {
	text, err := json.MarshalIndent(d.state, "", "  ")
	if err != nil {
		return fmt.Errorf("write data directory: %w", err)
	}
	if err := durable.Write(d.file("servers.json"), append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("write data directory: %w", err)
	}
	return nil
}

func (d *directory) file(name string) string { return filepath.Join(d.path, name) }

// password gives the server's password, made at first use.
func (d *directory) password(server string) (secret.String, error) {
	path := d.file(server + ".password")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		text = []byte(random(20))
		err = durable.Write(path, append(text, '\n'), 0o600)
	}
	if err != nil {
		return secret.String{}, fmt.Errorf("password of %s: %w", server, err)
	}
	return secret.New(strings.TrimSpace(string(text))), nil
}

// markVoid says that a server's volume of Docker may be thrown away.
func (d *directory) markVoid(server string) error {
	if err := durable.Write(d.file(server+".void"), nil, 0o600); err != nil {
		return fmt.Errorf("data of %s: %w", server, err)
	}
	return nil
}

// markWhole takes that back.
func (d *directory) markWhole(server string) error {
	if err := os.Remove(d.file(server + ".void")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("data of %s: %w", server, err)
	}
	return nil
}

func (d *directory) isVoid(server string) bool {
	_, err := os.Stat(d.file(server + ".void"))
	return err == nil
}

// log opens a fresh log for a server and keeps the one before.
func (d *directory) log(server string) (*os.File, error) {
	path := d.file(filepath.Join("log", server+".log"))
	if err := os.Rename(path, path+".1"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("log of %s: %w", server, err)
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("log of %s: %w", server, err)
	}
	return file, nil
}

// folder makes the place of a server's data. With an account, which root must
// use, it lies under shared, where that user may enter: a home of mode 0700
// would bar its way to the data directory.
func (d *directory) folder(server string, account *syscall.Credential) (string, error) {
	path := d.file(server)
	if account == nil {
		if err := os.MkdirAll(path, 0o700); err != nil {
			return "", fmt.Errorf("data of %s: %w", server, err)
		}
		return path, nil
	}
	target, err := os.Readlink(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		target = filepath.Join(shared, d.name(), server)
		if err := os.Symlink(target, path); err != nil {
			return "", fmt.Errorf("data of %s: %w", server, err)
		}
	case err != nil:
		return "", fmt.Errorf("data of %s: %s was made by another user than root: run as that user, or choose another directory with --data", server, path)
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return "", fmt.Errorf("data of %s: %w", server, err)
	}
	if err := os.MkdirAll(target, 0o700); err != nil {
		return "", fmt.Errorf("data of %s: %w", server, err)
	}
	if err := own(target, account); err != nil {
		return "", fmt.Errorf("data of %s: %w", server, err)
	}
	return target, nil
}

// name tells whose data a directory under shared holds: the last parts of the
// path for people, and the id, since a directory that was deleted and made anew
// must not find the data of the old one.
func (d *directory) name() string {
	clean := func(part string) string {
		return strings.Map(func(r rune) rune {
			if r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
				return r
			}
			return -1
		}, part)
	}
	parent, base := filepath.Split(d.path)
	return strings.Trim(clean(filepath.Base(parent))+"-"+clean(base), "-") + "-" + d.state.ID
}

// own gives a tree to an account. It walks only when the root is another's:
// the programs may have come with another user since.
func own(path string, account *syscall.Credential) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && owner.Uid == account.Uid && owner.Gid == account.Gid {
		return nil
	}
	return filepath.WalkDir(path, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(account.Uid), int(account.Gid))
	})
}

// servers are those with data.
func servers() []string { return []string{postgresName, brokerName, objectsName} }

// Remove deletes a data directory that nobody uses, with the data that it
// links to. Volumes of Docker stay.
func Remove(dir string) error {
	pid, _, err := Holder(dir)
	if err != nil {
		return err
	}
	if pid != 0 {
		return &BusyError{Dir: dir, PID: pid}
	}
	for _, server := range servers() {
		if err := removeData(dir, server); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove data directory: %w", err)
	}
	return nil
}

// removeData deletes a server's data, wherever they lie.
func removeData(dir, server string) error {
	path := filepath.Join(dir, server)
	if target, err := os.Readlink(path); err == nil {
		if err := os.RemoveAll(target); err != nil {
			return fmt.Errorf("remove data of %s: %w", server, err)
		}
		// It stays while the other server's data are beside it.
		_ = os.Remove(filepath.Dir(target))
	}
	if err := os.RemoveAll(path); err != nil {
		return fmt.Errorf("remove data of %s: %w", server, err)
	}
	return nil
}

func random(bytes int) string {
	text := make([]byte, bytes)
	_, _ = rand.Read(text) // never fails
	return hex.EncodeToString(text)
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
