package failure_test

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"nsbuild/internal/archive/failure"
	"nsbuild/internal/fault"
)

func TestDiskFull(t *testing.T) {
	err := failure.WithHint(
		failure.OnDisk("/cache", &os.PathError{Op: "write", Path: "/cache/x", Err: syscall.ENOSPC}))
	if !errors.Is(err, failure.ErrNoSpace) || !strings.Contains(fault.HintOf(err), "/cache") {
		t.Errorf("%v, %s", err, fault.HintOf(err))
	}
	other := errors.New("x")
	//nolint:errorlint // it must come back as it is
	if failure.OnDisk("/cache", other) != other {
		t.Error("another error")
	}
}
