package teststack

import (
	"io"
	"net"
	"sync"
	"testing"
)

// Line leads to a server, and can be cut as a failing network would be.
type Line struct {
	listener net.Listener
	running  sync.WaitGroup

	mu     sync.Mutex
	isCut  bool
	ending map[net.Conn]struct{} // connections that are to end at a cut
}

// NewLine makes a line to the server at an address, host:port, until the test ends.
func NewLine(t testing.TB, to string) *Line {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("make a line: %v", err)
	}
	l := &Line{listener: listener, ending: map[net.Conn]struct{}{}}
	l.running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			l.running.Go(func() { l.carry(conn, to) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		l.Cut()
		l.running.Wait()
	})
	return l
}

// Addr is where the line begins, host:port.
func (l *Line) Addr() string { return l.listener.Addr().String() }

// Cut ends what goes over the line, and whatever comes, until Mend.
func (l *Line) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isCut = true
	for conn := range l.ending {
		_ = conn.Close()
	}
}

// Mend makes the line whole again.
func (l *Line) Mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isCut = false
}

func (l *Line) carry(from net.Conn, to string) {
	defer l.end(from)
	if !l.begin(from) {
		return
	}
	onward, err := net.Dial("tcp", to) //nolint:noctx // it is refused or taken at once, on this machine
	if err != nil {
		return
	}
	defer l.end(onward)
	if !l.begin(onward) {
		return
	}
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(from, onward)
		_ = from.Close()
	})
	_, _ = io.Copy(onward, from)
	_ = onward.Close()
	back.Wait()
}

// begin tells whether the line is whole.
func (l *Line) begin(conn net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ending[conn] = struct{}{}
	return !l.isCut
}

func (l *Line) end(conn net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = conn.Close()
	delete(l.ending, conn)
}
