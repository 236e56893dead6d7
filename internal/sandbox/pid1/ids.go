package pid1

import (
	"syscall"

	"nsbuild/internal/sandbox/idmap"
	"nsbuild/internal/sandbox/wire"
)

// jailIDs are J's maps: H's first ids as they are, and the caller's own in the place of one of them
// where that is asked for.
func jailIDs(count int, caller *wire.Caller) (uids, gids []syscall.SysProcIDMap) {
	if caller == nil {
		same := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: count}}
		return same, same
	}
	return replaced(count, caller.UID), replaced(count, caller.GID)
}

func replaced(count, at int) []syscall.SysProcIDMap {
	var out []syscall.SysProcIDMap
	if at > 0 {
		out = append(out, syscall.SysProcIDMap{ContainerID: 0, HostID: 0, Size: min(at, count)})
	}
	if at >= count {
		return append(out, syscall.SysProcIDMap{ContainerID: at, HostID: idmap.CallerID, Size: 1})
	}
	out = append(out, syscall.SysProcIDMap{ContainerID: at, HostID: idmap.CallerID, Size: 1})
	if rest := count - at - 1; rest > 0 {
		out = append(out, syscall.SysProcIDMap{ContainerID: at + 1, HostID: at + 1, Size: rest})
	}
	return out
}
