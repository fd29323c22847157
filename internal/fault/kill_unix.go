//go:build faults && unix

package fault

import "syscall"

// kill does not return.
func kill() {
	_ = syscall.Kill(syscall.Getpid(), syscall.SIGKILL)
	select {}
}
