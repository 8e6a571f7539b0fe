package certificate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

const lockFile = ".lock"

// lockExclusive keeps other processes from making certificates at the same
// time. The lock goes with the process, also when it is killed.
func lockExclusive(dir string) (unlock func(), err error) {
	lock, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	return flock(lock, syscall.LOCK_EX)
}

// lockShared keeps a certificate and its key from changing between the reading
// of the one and of the other. Without a lock file nobody makes any here.
func lockShared(dir string) (unlock func(), err error) {
	lock, err := os.Open(filepath.Join(dir, lockFile))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return func() {}, nil
	}
	if err != nil {
		return nil, err
	}
	return flock(lock, syscall.LOCK_SH)
}

func flock(lock *os.File, how int) (unlock func(), err error) {
	for {
		err = syscall.Flock(int(lock.Fd()), how)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock: %w", err), lock.Close())
	}
	return func() { _ = lock.Close() }, nil // closing lets go
}
