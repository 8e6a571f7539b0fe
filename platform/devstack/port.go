package devstack

import (
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"strconv"
)

// The names of the servers' ports in servers.json.
const (
	postgresPort     = "postgres"
	brokerPort       = "amqp"
	managementPort   = "management"
	epmdPort         = "epmd"
	distributionPort = "distribution"
	objectsPort      = "s3"
)

// Free ports are looked for below the range that the kernel takes for outgoing
// connections: a port from there could be taken before the server listens.
const (
	firstFreePort = 20000
	lastFreePort  = 32000
)

// reservations keep other stacks from the ports that this one has chosen: a
// server takes seconds from its start until it listens.
type reservations []io.Closer

func (r reservations) release() {
	for _, reservation := range r {
		_ = reservation.Close()
	}
}

// choosePorts gives each name the port it had, else the one it wants (0 for
// none), else a free one.
func choosePorts(remembered, wanted map[string]int) (reservations, error) {
	var reserved reservations
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		candidates := []int{remembered[name], wanted[name]}
		offset := rand.N(lastFreePort - firstFreePort) //nolint:gosec // no secret
		for i := range lastFreePort - firstFreePort {
			candidates = append(candidates, firstFreePort+(offset+i)%(lastFreePort-firstFreePort))
		}
		port := 0
		for _, candidate := range candidates {
			if reservation := reserve(candidate); reservation != nil {
				port = candidate
				reserved = append(reserved, reservation)
				break
			}
		}
		if port == 0 {
			reserved.release()
			return nil, fmt.Errorf("no free port for %s on 127.0.0.1", name)
		}
		remembered[name] = port
	}
	return reserved, nil
}

// Ports chooses ports on 127.0.0.1 for programs beside the servers, by name: the
// one that a program had before, else the one it wants, else a free one. They
// are remembered in the data directory, and no other stack on this machine
// takes them until Stop. Throwaway stacks leave the wanted ones to others.
func (s *Stack) Ports(wanted map[string]int) (map[string]int, error) {
	wanted = maps.Clone(wanted)
	if s.throwaway {
		for name := range wanted {
			wanted[name] = 0
		}
	}
	reserved, err := choosePorts(s.directory.state.Ports, wanted)
	if err != nil {
		return nil, err
	}
	s.reserved = append(s.reserved, reserved...)
	chosen := map[string]int{}
	for name := range wanted {
		chosen[name] = s.directory.state.Ports[name]
	}
	return chosen, s.directory.save()
}

// reserve gives nil for a port that is taken or spoken for.
func reserve(port int) io.Closer {
	if port == 0 {
		return nil
	}
	var reservation io.Closer = io.NopCloser(nil)
	if runtime.GOOS == "linux" {
		// A socket without a file: one holder on the machine, gone with its process.
		socket, err := net.Listen("unix", "@muster-port-"+strconv.Itoa(port))
		if err != nil {
			return nil
		}
		reservation = socket
	}
	listener, err := net.Listen("tcp", local(port))
	if err == nil {
		err = listener.Close()
	}
	if err != nil {
		_ = reservation.Close()
		return nil
	}
	return reservation
}

func local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
