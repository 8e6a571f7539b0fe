package devstack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"
)

// orphanBound is how long PostgreSQL's processes may take to see that the one
// that started them is gone.
const orphanBound = 5 * time.Second

// PausePostgres stops all of PostgreSQL's processes with SIGSTOP, and goOn lets
// them go on. It needs /proc, as CrashPostgres does; a PostgreSQL that is no
// program of ours is ErrNotOurs.
func (s *Stack) PausePostgres() (goOn func() error, err error) {
	s.database.Lock()
	defer s.database.Unlock()
	server, err := s.ownPostgres()
	if err != nil {
		return nil, err
	}
	// It first: then it starts no more of them.
	if err := server.child.Signal(syscall.SIGSTOP); err != nil {
		return nil, err
	}
	family, err := childrenOf(server.child.PID())
	if err == nil {
		err = signalAll(family, syscall.SIGSTOP)
	}
	goOn = func() error {
		return errors.Join(signalAll(family, syscall.SIGCONT), server.child.Signal(syscall.SIGCONT))
	}
	if err != nil {
		return nil, errors.Join(err, goOn())
	}
	return goOn, nil
}

// CrashPostgres kills PostgreSQL with -9 under a running system and waits until
// the last of its processes is gone, which may end its statement before.
func (s *Stack) CrashPostgres(ctx context.Context) error {
	s.database.Lock()
	defer s.database.Unlock()
	server, err := s.ownPostgres()
	if err != nil {
		return err
	}
	family, err := childrenOf(server.child.PID())
	if err != nil {
		return err
	}
	server.stopping.Store(true)
	if err := server.child.Stop(syscall.SIGKILL, postgresBound); err != nil {
		return err
	}
	s.postgres = nil
	patience, cancel := context.WithTimeout(ctx, orphanBound)
	defer cancel()
	for anyLives(family) {
		if pause(patience, probePause) != nil {
			if ctx.Err() != nil {
				return fmt.Errorf("wait for the processes of PostgreSQL: %w", ctx.Err())
			}
			if err := signalAll(family, syscall.SIGKILL); err != nil {
				return err
			}
			patience = ctx
		}
	}
	return nil
}

// StopPostgres ends PostgreSQL in order, under a running system.
func (s *Stack) StopPostgres() error {
	s.database.Lock()
	defer s.database.Unlock()
	server, err := s.ownPostgres()
	if err != nil {
		return err
	}
	err = server.stop()
	s.postgres = nil
	return err
}

// StartPostgres starts one that StopPostgres or CrashPostgres has ended, on the
// same port and data, and waits until it answers. Starting it twice is no fault.
func (s *Stack) StartPostgres(ctx context.Context) error {
	s.database.Lock()
	defer s.database.Unlock()
	if s.postgresSource.kind != byProgram {
		return fmt.Errorf("%s is %w", postgresTitle, ErrNotOurs)
	}
	if s.postgres != nil {
		return nil
	}
	if err := s.startPostgres(ctx, s.postgresSource); err != nil {
		return err
	}
	s.watch(s.postgres)
	return nil
}

// ownPostgres is the running server. The caller has the mutex.
func (s *Stack) ownPostgres() (*process, error) {
	if s.postgresSource.kind != byProgram {
		return nil, fmt.Errorf("%s is %w", postgresTitle, ErrNotOurs)
	}
	if s.postgres == nil {
		return nil, fmt.Errorf("%s does not run", postgresTitle)
	}
	return s.postgres, nil
}

// childrenOf gives the processes that a process has started.
func childrenOf(parent int) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("look for the processes of %d: %w", parent, err)
	}
	var children []int
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue // no process
		}
		if _, of := stateOf(pid); of == parent {
			children = append(children, pid)
		}
	}
	return children, nil
}

// stateOf gives a process's state and parent; both are zero if it is gone.
func stateOf(pid int) (state byte, parent int) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0
	}
	// After the name, which may hold anything: state, parent, …
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 2 {
		return 0, 0
	}
	parent, _ = strconv.Atoi(string(fields[1])) // a number, says proc(5)
	return fields[0][0], parent
}

func anyLives(pids []int) bool {
	for _, pid := range pids {
		if state, _ := stateOf(pid); state != 0 && state != 'Z' {
			return true
		}
	}
	return false
}

func signalAll(pids []int, signal syscall.Signal) error {
	var errs []error
	for _, pid := range pids {
		if err := syscall.Kill(pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			errs = append(errs, fmt.Errorf("send %v to process %d: %w", signal, pid, err))
		}
	}
	return errors.Join(errs...)
}
