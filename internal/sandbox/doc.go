// Package sandbox is the jail: it runs commands over a root directory in namespaces of their own,
// and takes everything they left behind with it when it ends.
//
// # Two user namespaces
//
// A Holder (H) owns a PID namespace, a mount namespace and PID 1, which is this very binary. It
// maps ids 0–65535 to the caller's subordinate ids (to an unused range when the caller is root)
// and, at 65536, the caller's own uid and gid, as which PID 1 runs: so it can enter a home of mode
// 0700, and nothing in the jail can signal or trace it. A jail (J) is nested in H: a user namespace
// with ids 0–65535 only, and mount, network, IPC, UTS and cgroup namespaces. Every command runs in
// a jail. What H mounted is locked there: jail root can neither unmount it nor make it writable
// (user_namespaces(7), mount_namespaces(7)).
//
// # Processes
//
//	caller ── PID 1 in H ── helper in J
//	             └── command, command, …
//
// The caller re-executes itself; argv[0] decides what it becomes (see Main). A helper enters J once
// and forks the commands; CLONE_PARENT makes them children of PID 1, the one process that reaps.
// Requests and their descriptors travel over one unix socket. When that socket closes because the
// caller died, or PID 1's parent-death signal arrives, PID 1 exits and the kernel kills all the
// rest.
//
// A jail can be shared with other processes of its caller: each has a connection to PID 1 of its
// own (Jail.Share, Join), and what it started ends with it.
//
// Several jails can follow one another under one holder: the frozen upper directory of one is a
// lower of the next. One jail is open at a time.
//
// # Packages
//
// This package is the caller's side: what it does is done with the caller's rights. The code of the
// other processes is in packages of their own, which Main alone enters:
//
//	pid1     PID 1, in H
//	inside   the helper and what else runs in J before a command does
//	applet   the sandbox's own applets, in H but for one
//
// What processes share lies beside these, above all wire (what goes over the sockets) and mounts.
// Nobody outside of the sandbox imports any of them (docs/adr/0047-a-package-for-each-process.md).
//
// The sandbox knows nothing of Debian, bases or builds.
package sandbox
