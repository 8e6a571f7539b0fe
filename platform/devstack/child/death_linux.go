package child

import "syscall"

func signalAtOurDeath(attributes *syscall.SysProcAttr, death syscall.Signal) {
	attributes.Pdeathsig = death
}
