//go:build unix

package bed

import "syscall"

// Freeze stops the process as it is, with SIGSTOP, until Thaw.
func (p *Process) Freeze() { p.signal(syscall.SIGSTOP) }

// Thaw lets a frozen process go on.
func (p *Process) Thaw() { p.signal(syscall.SIGCONT) }
