package pkgbuild

import (
	"errors"
	"slices"
	"syscall"

	"nsbuild/internal/archive/failure"
)

// Transient tells whether what kept a build from being done may be over later, without anybody
// doing something about it: a mirror that is away or just being changed, a disk or a memory that
// others have filled.
func Transient(err error) bool {
	return slices.ContainsFunc([]error{failure.ErrUnreachable, failure.ErrNotFound,
		failure.ErrRefused, failure.ErrHash, failure.ErrSize, failure.ErrNoSpace, errFull,
		syscall.ENOSPC, syscall.EDQUOT, syscall.ENOMEM}, func(one error) bool {
		return errors.Is(err, one)
	})
}
